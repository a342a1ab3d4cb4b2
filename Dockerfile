# The server on the CPU:
#   docker build -t llasa . && docker run -p 8000:8000 -p 10200:10200 -v voices:/voices llasa
# About 1.4 GB unpacked: the environment has 1.29 GB, measured in one of Python 3.11 on x86_64 with
# these extras and the CPU build of torch (whose headers and tests go), the image below it 0.13 GB.
FROM python:3.11-slim AS build
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
# The CPU build of torch; without this index the image has CUDA, and several gigabytes more.
RUN python -m venv --without-pip /llasa \
    && pip --python /llasa/bin/python install --no-cache-dir \
        --extra-index-url https://download.pytorch.org/whl/cpu '.[serve,search,wyoming]' \
    && rm -rf /llasa/lib/python3.11/site-packages/torch/include \
        /llasa/lib/python3.11/site-packages/torch/test

FROM python:3.11-slim
COPY --from=build /llasa /llasa
ENV PATH=/llasa/bin:$PATH LLASA_VOICES=/voices
VOLUME /voices
EXPOSE 8000 10200
HEALTHCHECK CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://localhost:8000/ready')"]
ENTRYPOINT ["llasa"]
CMD ["serve", "--host", "0.0.0.0", "--wyoming", "10200"]
