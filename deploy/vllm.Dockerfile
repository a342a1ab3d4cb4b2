# The server with vLLM on NVIDIA GPUs:
#   docker build -f deploy/vllm.Dockerfile -t llasa-vllm .
#   docker run --gpus all -p 8000:8000 llasa-vllm --model HKUSTAudio/Llasa-1B
# vLLM's image has the torch, CUDA and compilers that it was built with.
FROM vllm/vllm-openai:v0.32.0
WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN uv pip install --system --no-cache '.[serve,search]'
# User 1000, as in the other image; a base that knows that number by another name does no harm. New
# volumes take their owner from the folders made here.
RUN useradd --non-unique --uid 1000 --create-home llasa \
    && install -d -o llasa -g llasa /voices /home/llasa/.cache /home/llasa/.cache/huggingface
USER 1000
ENV HOME=/home/llasa LLASA_VOICES=/voices
VOLUME /voices
EXPOSE 8000
HEALTHCHECK --start-period=10m CMD ["python3", "-c", "import urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://localhost:8000/ready')"]
ENTRYPOINT ["llasa", "serve", "--host", "0.0.0.0", "--engine", "vllm"]
