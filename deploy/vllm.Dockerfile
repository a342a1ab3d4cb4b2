# The server with vLLM on NVIDIA GPUs:
#   docker build -f deploy/vllm.Dockerfile -t llasa-vllm .
#   docker run --gpus all -p 8000:8000 llasa-vllm --model HKUSTAudio/Llasa-1B
# vLLM's image has the torch, CUDA and compilers that it was built with.
FROM vllm/vllm-openai:v0.32.0
WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN uv pip install --system --no-cache '.[serve,search]'
ENV LLASA_VOICES=/voices
VOLUME /voices
EXPOSE 8000
HEALTHCHECK --start-period=10m CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://localhost:8000/ready')"]
ENTRYPOINT ["llasa", "serve", "--host", "0.0.0.0", "--engine", "vllm"]
