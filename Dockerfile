# The environment of requirements.lock, for cluster nodes and for people who prefer a container.
#   docker build -t pose-annotator . && docker run --rm --gpus all --shm-size=8g -v /data:/data pose-annotator annotator doctor
FROM python:3.11-slim-bookworm

# libGL is not needed (OpenCV is the headless build); libcurl serves FiftyOne's mongod, ffmpeg its video support,
# openssh and rsync `ray up`, wget KubeRay's probes.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make libcurl4 ffmpeg openssh-client rsync wget \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/pose-annotator
# Dependencies first: they change less often than the code.
COPY Makefile pyproject.toml requirements.lock README.md ./
COPY annotator/__init__.py annotator/__init__.py
COPY schemas/__init__.py schemas/__init__.py
RUN make setup
COPY . .
# No entry point: `ray up` starts containers with a command of its own. Its login shells, whose PATH Ray hands on to
# jobs, set PATH anew and then read /etc/profile.d.
ENV PATH=/opt/pose-annotator/.venv/bin:$PATH RAY_USAGE_STATS_ENABLED=0
RUN echo 'export PATH=/opt/pose-annotator/.venv/bin:$PATH' > /etc/profile.d/pose-annotator.sh
CMD ["annotator", "--help"]
