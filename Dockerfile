# docker build -t tdrun . && docker run -it --rm -v "$PWD:/work" tdrun lib.so
#
# tdrun loads shared libraries, so it needs a dynamic loader and the glibc that they were built against: no static musl
# binary, no empty base image. A library built on a newer system than bookworm may not load; build it in the first stage's
# image then.

FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bins --examples \
 && mkdir -p /out/examples \
 && cp target/release/tdrun /out/ \
 && for source in examples/*.rs; do cp "target/release/examples/lib$(basename "$source" .rs).so" /out/examples/; done

FROM debian:bookworm-slim
COPY --from=build /out/tdrun /usr/local/bin/tdrun
COPY --from=build /out/examples /usr/local/lib/tdrun/examples
WORKDIR /work
ENTRYPOINT ["tdrun"]
