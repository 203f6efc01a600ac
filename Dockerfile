# The program and this folder's pipeline as an image: of another user than root, for a root file system that cannot be written to.
#
#   docker build --tag movies .
#   docker run --read-only --stop-timeout 120 movies run --target aws --listen 0.0.0.0:9464
#
# Only /scratch can be written to, and it belongs to the user of the image. A pipeline whose lake and queue are in this folder needs
# `--tmpfs /pipeline/.sluicebox:uid=65532` and a place for the lake as well.
#
# `--target program` stops before the pipeline: a base for images of others.

FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/source/target \
    cargo build --release --locked --package cli \
    && cp target/release/sluicebox /usr/local/bin/ \
    && sluicebox plugin build --all \
    && mkdir /scratch /pipeline && cp --parents pipeline.toml plugins/*/*.wasm /pipeline

FROM gcr.io/distroless/cc-debian12:nonroot AS program
COPY --from=build /usr/local/bin/sluicebox /usr/local/bin/sluicebox
# Plugins are compiled when it starts, into the folder that can be written to: what is executed belongs to nobody but who runs. Fargate gives
# a volume at a place that `VOLUME` names the owner of the folder in the image; at any other place it belongs to root.
COPY --from=build --chown=65532:65532 /scratch /scratch
VOLUME ["/scratch"]
WORKDIR /pipeline
USER 65532:65532
ENV SLUICEBOX_LOG_FORMAT=json SLUICEBOX_CACHE_DIR=/scratch/compiled XDG_DATA_HOME=/scratch/data
ENTRYPOINT ["sluicebox"]
CMD ["run", "--listen", "0.0.0.0:9464"]
STOPSIGNAL SIGTERM
EXPOSE 9464
HEALTHCHECK --interval=30s --timeout=5s --start-period=300s CMD ["sluicebox", "health"]

FROM program
COPY --from=build /pipeline ./
