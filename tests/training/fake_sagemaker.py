"""A SageMaker that runs what it is asked to: training jobs as processes in an emulated /opt/ml, with S3 behind.

It speaks the service's JSON protocol over HTTP for CreateTrainingJob, DescribeTrainingJob and StopTrainingJob.
"""

import json
import os
import re
import shutil
import subprocess
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3


class FakeSageMaker:
    """Serves on ``url``; every job runs *program* in a folder of its own below *folder*."""

    def __init__(self, folder: Path, program: list[str]):
        self.folder, self.program, self.jobs, self.lock = folder, program, {}, threading.Lock()
        self.s3 = boto3.client("s3")
        self.refusals: list[ServiceError] = []  # what comes instead of the next answers
        self.loses = ""  # the operation whose next answer is lost
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                operation = self.headers["X-Amz-Target"].removeprefix("SageMaker.")
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                try:
                    if fake.refusals:
                        raise fake.refusals.pop(0)
                    status, answer = 200, getattr(fake, operation)(request)
                    if fake.loses == operation:
                        fake.loses = ""
                        self.close_connection = True
                        return
                except ServiceError as error:
                    status, answer = 400, {"__type": error.args[0], "message": error.args[1]}
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.serving = threading.Thread(target=self.server.serve_forever)
        self.serving.start()

    def close(self):
        for job in self.jobs.values():
            if job.thread.is_alive():
                job.stop()
            job.thread.join()
        self.server.shutdown()
        self.serving.join()
        self.server.server_close()

    def CreateTrainingJob(self, request):  # noqa: N802
        name = request["TrainingJobName"]
        with self.lock:
            if name in self.jobs:
                raise ServiceError("ResourceInUse", f"Training job names must be unique: {name}")
            problem = refused(request)
            if problem:
                raise ServiceError("ValidationException", problem)
            self.jobs[name] = job = Run(self, request)
        job.thread.start()
        return {"TrainingJobArn": f"arn:aws:sagemaker:us-east-1:1:training-job/{name}"}

    def DescribeTrainingJob(self, request):  # noqa: N802
        return {**self.find(request).request, **self.find(request).state}

    def StopTrainingJob(self, request):  # noqa: N802
        self.find(request).stop()
        return {}

    def find(self, request):
        if request["TrainingJobName"] not in self.jobs:
            raise ServiceError("ValidationException", "Requested resource not found.")
        return self.jobs[request["TrainingJobName"]]


class ServiceError(Exception):
    """What the service answers instead: a code and a message."""


def refused(request):
    """Why the real service would not take *request*, or None."""
    stop = request["StoppingCondition"]
    if not re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", request["TrainingJobName"]):
        return "TrainingJobName does not match its pattern"
    if any(not isinstance(value, str) or len(value) > 2500 for value in request["HyperParameters"].values()):
        return "HyperParameters are strings of at most 2500 characters"
    if request["EnableManagedSpotTraining"] and stop["MaxWaitTimeInSeconds"] < stop["MaxRuntimeInSeconds"]:
        return "MaxWaitTimeInSeconds must be at least MaxRuntimeInSeconds"
    return None


class Run:
    """One job: its tree, its process, its states."""

    def __init__(self, fake, request):
        self.fake, self.request, self.process, self.ending = fake, request, None, None
        self.base = fake.folder / request["TrainingJobName"]
        self.log = fake.folder / f"{request['TrainingJobName']}.log"
        self.state = {"CreationTime": time.time(), "SecondaryStatusTransitions": []}
        self.enter("InProgress", "Starting")
        self.thread = threading.Thread(target=self.go)

    def enter(self, status, secondary, **more):
        steps = [*self.state["SecondaryStatusTransitions"], {"Status": secondary, "StartTime": time.time(), "StatusMessage": ""}]
        self.state = {
            **self.state,
            **more,
            "TrainingJobStatus": status,
            "SecondaryStatus": secondary,
            "SecondaryStatusTransitions": steps,
        }

    def stop(self):
        self.enter("Stopping", "Stopping")
        self.ending = "Stopped"
        if self.process:
            self.process.terminate()

    def interrupt(self):
        """Take the spot instance away."""
        self.ending = "Interrupted"
        self.process.terminate()

    def go(self):
        status = self.train()
        while self.ending == "Interrupted":
            self.enter("InProgress", "Interrupted")
            self.ending = None
            self.enter("InProgress", "Restarting")
            status = self.train()
        failure = self.base / "output" / "failure"
        more = {"FinalMetricDataList": self.metrics()}
        if self.ending == "Stopped":
            self.enter("Stopped", "Stopped", **more)
        elif status:
            said = failure.read_text()[:1024] if failure.exists() else ""
            self.enter("Failed", "Failed", FailureReason=f"AlgorithmError: {said}, exit code: {status}", **more)
        else:
            self.enter("InProgress", "Uploading")
            self.enter("Completed", "Completed", ModelArtifacts={"S3ModelArtifacts": self.upload_model()}, **more)

    def train(self):
        """A fresh instance: data and checkpoints come down, the program runs, checkpoints go up."""
        shutil.rmtree(self.base, ignore_errors=True)
        self.enter("InProgress", "Downloading")
        for name in ("model", "output", "input/config", "checkpoints"):
            (self.base / name).mkdir(parents=True)
        for channel in self.request["InputDataConfig"]:
            self.download(channel)
        checkpoints = self.request["CheckpointConfig"]["S3Uri"]
        self.fetch(checkpoints + "/", self.base / "checkpoints")
        files = {
            "hyperparameters": self.request["HyperParameters"],
            "inputdataconfig": {channel["ChannelName"]: {"TrainingInputMode": "File"} for channel in self.request["InputDataConfig"]},
            "resourceconfig": {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "lo"},
        }
        for name, content in files.items():
            (self.base / "input" / "config" / f"{name}.json").write_text(json.dumps(content))
        if self.ending != "Stopped":
            self.enter("InProgress", "Training")
        environment = {
            **{name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ},
            **self.request["Environment"],
            "SAGEMAKER_BASE_DIR": str(self.base),
            "OMP_NUM_THREADS": "1",
        }
        with self.log.open("a") as log:
            self.process = subprocess.Popen(self.fake.program, env=environment, stdout=log, stderr=subprocess.STDOUT)
            if self.ending == "Stopped":
                self.process.terminate()
            status = self.process.wait()
        bucket, key = split(checkpoints)
        for path in (self.base / "checkpoints").rglob("*"):
            if path.is_file():
                self.fake.s3.upload_file(str(path), bucket, f"{key}/{path.relative_to(self.base / 'checkpoints')}")
        return status

    def download(self, channel):
        source = channel["DataSource"]["S3DataSource"]
        folder = self.base / "input" / "data" / channel["ChannelName"]
        folder.mkdir(parents=True)
        if source["S3DataType"] == "S3Prefix":
            return self.fetch(source["S3Uri"], folder)
        bucket, key = split(source["S3Uri"])
        head, *names = json.loads(self.fake.s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            bucket, key = split(head["prefix"] + name)
            self.fake.s3.download_file(bucket, key, str(folder / name))

    def fetch(self, uri, folder):
        bucket, key = split(uri)
        for entry in self.fake.s3.list_objects_v2(Bucket=bucket, Prefix=key).get("Contents", ()):
            path = folder / entry["Key"].removeprefix(key)
            path.parent.mkdir(parents=True, exist_ok=True)
            self.fake.s3.download_file(bucket, entry["Key"], str(path))

    def upload_model(self):
        uri = f"{self.request['OutputDataConfig']['S3OutputPath']}/{self.base.name}/output/model.tar.gz"
        archive = self.fake.folder / f"{self.base.name}.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            for path in sorted((self.base / "model").iterdir()):
                tar.add(path, path.name)
        bucket, key = split(uri)
        self.fake.s3.upload_file(str(archive), bucket, key)
        return uri

    def metrics(self):
        """The last value of each metric that the definitions' expressions find in the log."""
        found = []
        for definition in self.request["AlgorithmSpecification"]["MetricDefinitions"]:
            values = re.findall(definition["Regex"], self.log.read_text())
            if values:
                found.append({"MetricName": definition["Name"], "Value": float(values[-1]), "Timestamp": time.time()})
        return found


def split(uri):
    """Bucket and key of an s3:// address."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key
