# The runtime and its service, without PyTorch.
#
#   docker build -t bskim .
#   docker run --rm -p 8080:8080 -v "$PWD/engines:/engines:ro" bskim
#
# Options of bskim-serve come behind the image: ... bskim /engines --max-wait 0.2
FROM python:3.11-slim AS build
COPY . /source
RUN python -m venv /opt/bskim \
    && /opt/bskim/bin/pip install --no-cache-dir --constraint /source/constraints.txt '/source[serve,highlight]' \
    && /opt/bskim/bin/pip uninstall --yes pip setuptools

FROM python:3.11-slim
COPY --from=build /opt/bskim /opt/bskim
RUN useradd --system --uid 10001 --no-create-home bskim
USER 10001
# Many threads would each keep a heap of their own; see docs/service.md.
ENV PATH=/opt/bskim/bin:$PATH MALLOC_ARENA_MAX=2 XDG_CACHE_HOME=/tmp
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/readyz', timeout=2)"]
ENTRYPOINT ["bskim-serve", "--host", "0.0.0.0"]
CMD ["/engines"]
