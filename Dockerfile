# The server on the CPU:
#   docker build -t llasa . && docker run -p 8000:8000 -p 10200:10200 -v voices:/voices llasa
FROM python:3.11-slim AS build
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
# The CPU build of torch. pip takes PyPI's, with gigabytes of CUDA, where it cannot reach this index
# or finds a later version there: better no image than that one.
RUN python -m venv --without-pip /llasa \
    && pip --python /llasa/bin/python install --no-cache-dir \
        --extra-index-url https://download.pytorch.org/whl/cpu '.[serve,search,wyoming]' \
    && /llasa/bin/python -c "import torch; assert torch.version.cuda is None, torch.__version__" \
    && rm -rf /llasa/lib/python3.11/site-packages/torch/include \
        /llasa/lib/python3.11/site-packages/torch/test

FROM python:3.11-slim
COPY --from=build /llasa /llasa
# A number, by which Kubernetes knows that it is not root. A new volume takes its owner from /voices.
RUN useradd --uid 1000 --create-home llasa && install -d -o llasa -g llasa /voices
USER 1000
ENV PATH=/llasa/bin:$PATH LLASA_VOICES=/voices
VOLUME /voices
EXPOSE 8000 10200
HEALTHCHECK --start-period=1m CMD ["python", "-c", "import urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://localhost:8000/ready')"]
ENTRYPOINT ["llasa"]
CMD ["serve", "--host", "0.0.0.0", "--wyoming", "10200"]
