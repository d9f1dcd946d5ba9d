# CI does not build this image: there is neither Docker nor a registry there. What can be tested without is tested (TestDockerfile): the program is run with
# the environment, command and config that stand here, as another user, with a fresh data directory.
#
#   docker build -t countersign --build-arg VERSION=$(git describe --tags --always) .
#   docker run -d --name countersign -p 8480:8480 -p 127.0.0.1:8481:8481 -v countersign:/data countersign
#   docker exec countersign /countersign health --ready
#   docker exec countersign /countersign token make ops --scope operator      # the control API takes nobody without a token
FROM golang:1.26 AS build
ARG VERSION=
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X main.stamp=${VERSION}" -o /out/countersign ./cmd/countersign
RUN mkdir -m 0700 /out/data

FROM gcr.io/distroless/static:nonroot
COPY --from=build /out/countersign /countersign
COPY docs/deploy/docker/countersign.yaml /etc/countersign/countersign.yaml
# A new volume takes its owner and mode from here: the database, and the first token, which operator.token holds.
COPY --from=build --chown=65532:65532 /out/data /data
# Both listeners are reachable from outside the container, so the control API, its metrics and its profiles take a token there, and /healthz alone does not.
ENV COUNTERSIGN_DATA=/data COUNTERSIGN_LISTEN_CALLBACKS=0.0.0.0:8480 COUNTERSIGN_LISTEN_CONTROL=0.0.0.0:8481
USER 65532:65532
VOLUME /data
EXPOSE 8480 8481
# It lives while it checks a large file: an orchestrator must not end it for that.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/countersign", "health", "--config", "/etc/countersign/countersign.yaml"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/countersign"]
CMD ["serve", "--config", "/etc/countersign/countersign.yaml"]
