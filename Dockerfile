# Headstart in a container: `docker compose up` uses it (compose.yaml), docs/DOCKER.md says how.
#
# Everything that is written, the demo model included, lies in the volume /data.

FROM python:3.12-slim AS build
WORKDIR /app
RUN python -m venv .venv
COPY requirements.txt ./
RUN .venv/bin/pip install --no-cache-dir --disable-pip-version-check --quiet -r requirements.txt
COPY . .
# The encoder of the classifier comes along. The chat model for a first answer does not: it is fetched into
# the volume when nothing else is configured. With --build-arg DEMO_MODEL=yes it is in the image.
ARG DEMO_MODEL=no
RUN if [ "$DEMO_MODEL" = yes ]; then .venv/bin/python -m engine.prepare; \
    else .venv/bin/python -m engine.prepare --without-demo-model; fi \
 && .venv/bin/python -m compileall -q -x '\.venv' .

FROM python:3.12-slim
RUN groupadd --system --gid 8002 headstart \
 && useradd --system --uid 8002 --gid headstart --home-dir /data --no-create-home headstart \
 && install -d -o headstart -g headstart -m 0700 /data
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOME=/data \
    HOST=0.0.0.0 \
    PORT=8002 \
    HEADSTART_DATA=/data \
    HEADSTART_MODELS=/data/models
USER headstart
VOLUME /data
EXPOSE 8002
# A first start may fetch the demo model before it serves.
HEALTHCHECK --interval=10s --timeout=5s --start-period=300s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as http; http.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/livez\", timeout=4)"]
CMD ["/app/docker/start.sh"]
