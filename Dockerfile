# The program with its models, for the CPU. Build: docker build -t small-nmt .
# Serve: docker run --rm -p 127.0.0.1:5000:5000 small-nmt serve --host 0.0.0.0
FROM python:3.11-slim AS build
COPY . /source
RUN pip install --no-cache-dir build && python -m build --wheel --outdir /wheels /source

FROM python:3.11-slim
# The CPU build of PyTorch, which is far smaller; the wheel is mounted, so no layer keeps it.
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    --mount=type=bind,source=constraints.txt,target=/constraints.txt \
    pip install --no-cache-dir --no-compile -c /constraints.txt \
      --index-url https://download.pytorch.org/whl/cpu torch \
 && pip install --no-cache-dir --no-compile -c /constraints.txt /wheels/*.whl matplotlib \
      starlette uvicorn python-multipart markdown-it-py PyYAML \
 && rm -rf /usr/local/lib/python3.11/site-packages/torch/include \
      /usr/local/lib/python3.11/site-packages/torch/test
RUN useradd --create-home translator && mkdir /data && chown translator /data
USER translator
WORKDIR /data
# Text is UTF-8 whatever the host says; output appears line by line.
ENV PYTHONUTF8=1 PYTHONUNBUFFERED=1
EXPOSE 5000
ENTRYPOINT ["translator"]
CMD ["--help"]
