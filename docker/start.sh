#!/bin/sh
# What the container runs: the models first, then the server in its place.
set -eu

# What the image brings is linked, what is missing is fetched beside it.
mkdir -p "$HEADSTART_MODELS"
for part in /app/models/*; do
    ln -sfn "$part" "$HEADSTART_MODELS/"
done
python -m deploy.models
exec gunicorn -c gunicorn.conf.py
