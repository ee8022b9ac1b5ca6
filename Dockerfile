# `flowlog run` for those who have no Azure Functions: it lists, forwards and repeats. docs/container.md
# says how it is configured and how an identity opens the accounts.
FROM python:3.13-slim AS build
WORKDIR /src
COPY requirements.txt pyproject.toml README.md LICENSE ./
COPY flowlog_core flowlog_core
RUN python -m venv /opt/flowlog \
    && /opt/flowlog/bin/pip install --no-cache-dir -r requirements.txt \
    && /opt/flowlog/bin/pip install --no-cache-dir --no-deps .

FROM python:3.13-slim
COPY --from=build /opt/flowlog /opt/flowlog
ENV PATH=/opt/flowlog/bin:$PATH PYTHONUNBUFFERED=1
# A number, so that Kubernetes can tell that it is not root.
USER 10001:10001
# `flowlog run` touches the file after each look at the accounts and after each blob.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD test -n "$(find /dev/shm/flowlog-heartbeat -mmin -5)"
ENTRYPOINT ["flowlog"]
CMD ["run", "--log", "json", "--heartbeat", "/dev/shm/flowlog-heartbeat"]
