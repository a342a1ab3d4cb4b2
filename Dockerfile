FROM python:3.11-slim
WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
# The CPU build of torch keeps the image small; drop the index for GPUs.
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu '.[serve,search]'
ENV LLASA_VOICES=/voices
VOLUME /voices
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://localhost:8000/ready')"]
ENTRYPOINT ["llasa"]
CMD ["serve", "--host", "0.0.0.0"]
