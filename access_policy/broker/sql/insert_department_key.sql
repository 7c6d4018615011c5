INSERT INTO keys.department_key (epoch, department, kind, wrapped)
VALUES (%(epoch)s, %(department)s, %(kind)s, %(wrapped)s)
ON CONFLICT DO NOTHING
