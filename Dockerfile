# Copycat on the CPU, run by a user without root's rights:
#   docker build --tag copycat .
#   docker run --rm --volume "$PWD:/work" --user "$(id -u):$(id -g)" copycat train model=deep
# and its endpoint with the page, on http://127.0.0.1:8000/, for this machine alone:
#   docker run --rm --volume "$PWD:/work" --user "$(id -u):$(id -g)" --publish 127.0.0.1:8000:8000 \
#     copycat serve RUN --host 0.0.0.0
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 HOME=/tmp
WORKDIR /opt/copycat
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
COPY conf conf
COPY experiments experiments
# PyTorch's own index has the CPU build: PyPI's for Linux brings gigabytes of CUDA
ARG PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir --constraint constraints.txt ".[cats,plots,app]" \
    && useradd --uid 1000 --no-create-home copycat \
    && install --directory --owner=copycat /work

USER 1000
WORKDIR /work
EXPOSE 8000
ENTRYPOINT ["copycat"]
CMD ["train"]
