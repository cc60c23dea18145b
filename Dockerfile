# One image for every process; docker-compose.yml says which one a container runs.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

# /data holds the scheduler's memory; a named volume mounted there takes over its owner.
RUN useradd --system --uid 10001 --no-create-home --home-dir /data tollkeeper \
    && install --directory --owner=tollkeeper --mode=0700 /data

WORKDIR /app
COPY requirements/base.lock requirements/base.lock
RUN pip install --require-hashes --only-binary=:all: --requirement requirements/base.lock \
    && python -m compileall -q /usr/local/lib/python3.11/site-packages

COPY . .
# Collecting connects to nothing; the settings only insist on addresses and keys.
RUN DATABASE_URL=postgresql://nobody@127.0.0.1:1/nothing REDIS_URL=redis://127.0.0.1:1/0 \
    TOLLKEEPER_SECRET_KEY=only-while-building TOLLKEEPER_ENCRYPTION_KEYS=only-while-building \
    python manage.py collectstatic --no-input --verbosity 0 \
    && python -m compileall -q .

USER tollkeeper
EXPOSE 8000
CMD ["python", "-m", "granian", "--interface", "rsgi", "--host", "0.0.0.0", "--port", "8000", "--workers", "1", \
     "--workers-kill-timeout", "8", "--backpressure", "10000", "--respawn-failed-workers", "--no-ws", \
     "controlplane.rsgi:application"]
