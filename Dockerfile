# One image for every role: docker run … countersign run --role web, … --role worker, … db upgrade
FROM python:3.13-slim AS build
COPY requirements.txt .
RUN python -m venv /venv \
 && /venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --require-hashes -r requirements.txt

FROM python:3.13-slim
COPY --from=build /venv /venv
WORKDIR /app
COPY manifest.yml ./
COPY providers ./providers
COPY bot ./bot
# SQLite's file belongs on a volume: what is written elsewhere in a container is lost with it.
RUN useradd --system --uid 10001 --home-dir /nonexistent countersign \
 && install -d -o countersign -m 700 /app/data
VOLUME /app/data
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
EXPOSE 3000
# Only whether the process answers: a restart mends neither Slack nor the database.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
  CMD ["/venv/bin/python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ.get(\"PORT\") or 3000}/livez', timeout=4)"]
# Longer than the half minute in which the bot ends, so that nothing is cut off: docker stop -t 40
STOPSIGNAL SIGTERM
ENTRYPOINT ["/venv/bin/python", "-m", "bot"]
CMD ["run"]
