# The program and this folder's pipeline as an image: of another user than root, for a root file system that cannot be written to.
#
#   docker build --tag movies .
#   docker run --read-only --tmpfs /pipeline/.sluicebox:uid=65532 --tmpfs /tmp --stop-timeout 120 movies \
#       run --target aws --listen 0.0.0.0:9464
#
# `--target program` stops before the pipeline: a base for images of others.

FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/source/target \
    cargo build --release --locked --package cli \
    && cp target/release/sluicebox /usr/local/bin/ \
    && sluicebox plugin build --all \
    && mkdir /pipeline && cp --parents pipeline.toml plugins/*/*.wasm /pipeline

FROM gcr.io/distroless/cc-debian12:nonroot AS program
COPY --from=build /usr/local/bin/sluicebox /usr/local/bin/sluicebox
WORKDIR /pipeline
USER 65532:65532
# Plugins are compiled when it starts, into the folder that can be written to: what is executed belongs to nobody but who runs.
ENV SLUICEBOX_LOG_FORMAT=json
ENTRYPOINT ["sluicebox"]
CMD ["run", "--listen", "0.0.0.0:9464"]
STOPSIGNAL SIGTERM
EXPOSE 9464

FROM program
COPY --from=build /pipeline ./
