# Not built in CI: there is no image registry there. The binary it copies is.
FROM golang:1.26 AS build
WORKDIR /src
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o /countersign ./cmd/countersign

FROM gcr.io/distroless/static:nonroot
COPY --from=build /countersign /countersign
USER nonroot
VOLUME /data
EXPOSE 8480 8481
ENTRYPOINT ["/countersign"]
CMD ["serve", "--config", "/etc/countersign/countersign.yaml"]
