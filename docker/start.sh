#!/bin/sh
# What the container runs: the models first, then the server in its place.
set -eu

# What the image brings is linked, what is missing is fetched beside it.
mkdir -p "$HEADSTART_MODELS"
for part in /app/models/*; do
    ln -sfn "$part" "$HEADSTART_MODELS/"
done
if python -c 'import sys; from settings import loader; sys.exit(not loader.load().engines)'; then
    python -m engine.prepare
else
    python -m engine.prepare --without-demo-model
fi
exec gunicorn -c gunicorn.conf.py
