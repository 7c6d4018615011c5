SELECT DISTINCT department FROM keys.department_key WHERE epoch = ANY (%(epochs)s::text[])
