# The program is one static binary with SQLite compiled in, so the image holds nothing else but the CA
# certificates that DoorFlow's own is checked by.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# HAVE_FDATASYNC lets SQLite sync its log without the file's time stamps, as distributions build it.
RUN CGO_ENABLED=1 CGO_CFLAGS='-O2 -DHAVE_FDATASYNC=1' go build -trimpath \
      -tags osusergo,netgo,sqlite_omit_load_extension \
      -ldflags '-s -w -linkmode external -extldflags "-static"' \
      -o /gatehouse ./cmd/gatehouse \
 && mkdir -m 0700 /data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /gatehouse /gatehouse
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532
ENV GATEHOUSE_DATA_DIR=/data GATEHOUSE_ADDR=0.0.0.0:8080
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/gatehouse", "healthcheck"]
ENTRYPOINT ["/gatehouse"]
CMD ["serve"]
