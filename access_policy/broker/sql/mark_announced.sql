UPDATE keys.erasure SET announced = true WHERE erasure_id = %(erasure_id)s
