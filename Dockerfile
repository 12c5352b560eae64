# syntax=docker/dockerfile:1
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --locked --release --package weighbridge

FROM debian:bookworm-slim
# Root certificates, to reach the upstream; nothing else is added.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/weighbridge --shell /usr/sbin/nologin weighbridge \
    && install -d -m 0700 -o weighbridge -g weighbridge /var/lib/weighbridge
COPY --from=build /src/target/release/weighbridge /usr/local/bin/weighbridge
USER 10001:10001
VOLUME /var/lib/weighbridge
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/weighbridge"]
CMD ["serve", "--upstream", "https://huggingface.co", "--listen", "0.0.0.0:8080", "--data", "/var/lib/weighbridge"]
