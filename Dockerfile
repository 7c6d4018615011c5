# Maple Bridge's own services; docker-compose.yml says how they are run.
FROM python:3.11-slim AS build
WORKDIR /src
COPY . .
RUN pip install --no-cache-dir --prefix=/install '.[server]' --constraint constraints.txt

FROM python:3.11-slim
COPY --from=build /install /usr/local
# a named volume takes owner and mode of the folder it is first mounted on
RUN useradd --uid 10001 --no-create-home maplebridge \
    && mkdir -m 0700 /var/lib/maplebridge \
    && mkdir -m 0700 /var/lib/maplebridge/key-broker /var/lib/maplebridge/audit \
    && chown -R maplebridge: /var/lib/maplebridge
USER maplebridge
ENTRYPOINT ["maplebridge"]
CMD ["--help"]
