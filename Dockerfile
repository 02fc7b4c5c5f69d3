# A small image: the binary, nothing to log in to, no root. Its steps are those of conf/docker/build-steps.sh, which can be tried
# without an engine.
#
#   docker build -t maitred .
#   docker run -v /etc/maitred:/etc/maitred:ro -v maitred:/var/lib/maitred -p 8443:8443 maitred

FROM docker.io/library/rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN conf/docker/build-steps.sh compile
RUN conf/docker/build-steps.sh assemble /image
RUN conf/docker/build-steps.sh try /image

# glibc, libgcc and the public authorities; user 65532.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build --chown=0:0 /image/usr /usr
COPY --from=build --chown=0:0 /image/etc /etc
COPY --from=build --chown=65532:65532 --chmod=0700 /image/var/lib/maitred /var/lib/maitred
USER 65532:65532
VOLUME /var/lib/maitred
EXPOSE 8443 9443 7443 10052
# live, not ready: an engine that restarts what is unwell must not restart a director that is stopping or sees an outage.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["/usr/bin/maitred", "health", "live"]
ENTRYPOINT ["/usr/bin/maitred"]
CMD ["run"]
