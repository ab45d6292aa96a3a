# One image for every role; the command says which.
FROM python:3.12-slim

# The index of PyTorch's CPU builds; without it pip fetches the CUDA build (several GB).
ARG PIP_EXTRA_INDEX_URL
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1

WORKDIR /app
# What seldom changes first: the layer of dependencies is kept between builds.
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; \
      project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
      print(*project['dependencies'], *project['optional-dependencies']['otel'], sep='\n')" \
      > /tmp/dependencies.txt \
    && pip install -c constraints.txt -r /tmp/dependencies.txt
COPY . .
RUN pip install --no-deps -e . -e plugins/skew \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin seqwatch \
    && install -d -o seqwatch -g seqwatch /var/lib/seqwatch

USER seqwatch
VOLUME /var/lib/seqwatch
ENV SEQWATCH_DATABASE_URL=sqlite:////var/lib/seqwatch/seqwatch.sqlite \
    SEQWATCH_LAKE=/var/lib/seqwatch/lake \
    SEQWATCH_ARTIFACTS=/var/lib/seqwatch/artifacts \
    SEQWATCH_REPORTS=/var/lib/seqwatch/reports \
    SEQWATCH_HOST=0.0.0.0
EXPOSE 8765
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8765/ready', timeout=4)"]
CMD ["seqwatch", "api"]
