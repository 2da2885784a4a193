#!/usr/bin/env python3
"""A peer of InsightFace-REST for tests: its dialect, served with onnxruntime and OpenCV.

    insightface_server.py MODELS [--port 18081] [--max-size 640,640] [--without-msgpack]

MODELS holds scrfd_500m_bnkps.onnx and w600k_mbf.onnx. `GET /info` and `POST /extract` take and give
what the container takes and gives (version 0.9.5: JSON and MessagePack, `embed_only`, coordinates cut
to whole pixels); a picture is shown to the detector once, unpadded, scaled to `--max-size` as the
container does it. The first line on stdout is the address. One request at a time; for tests on this
machine only: nothing is bounded.
Needs numpy, opencv-python and onnxruntime; msgpack for MessagePack.
"""

import argparse
import base64
import http.server
import json
import threading
import traceback

import cv2
import numpy as np

import parity_pipeline as pipeline

try:
    import msgpack
except ImportError:
    msgpack = None

NETWORKS = ("scrfd_500m_bnkps", "w600k_mbf")


def resized(picture, max_size):
    """The picture on the detector's input as `resize_image` of if_rest/core/utils/image_provider.py makes
    it, and by how much it was scaled."""
    (height, width), (most_width, most_height) = picture.shape[:2], max_size
    scale = min(most_width / width, most_height / height)
    # "If image is too small, it may contain only single face": a margin helps the detector.
    if scale > 2:
        scale *= 0.7
    if scale != 1:
        method = cv2.INTER_AREA if scale <= 1 else cv2.INTER_LINEAR
        picture = cv2.resize(picture, (0, 0), fx=scale, fy=scale, interpolation=method)
    canvas = np.zeros((most_height, most_width, 3), np.uint8)
    canvas[: picture.shape[0], : picture.shape[1]] = picture
    return canvas, scale


class Server:
    def __init__(self, models, max_size):
        self.max_size = max_size
        self.detector, self.network = (pipeline.session(f"{models}/{name}.onnx") for name in NETWORKS)
        self.input = self.network.get_inputs()[0].name
        self.turn = threading.Lock()

    def embed(self, crop):
        embedding = self.network.run(None, {self.input: pipeline.network_input(crop, 127.5, 127.5)})[0][0]
        norm = float(np.linalg.norm(embedding))
        return {"norm": norm, "vec": (embedding / norm).tolist()}

    def face(self, picture, number, face):
        crop = cv2.warpAffine(picture, pipeline.umeyama(face["landmarks"], pipeline.TEMPLATE), (112, 112))
        box = face["box"].astype(int)
        return {
            "num_det": number,
            "prob": face["score"],
            "bbox": box.tolist(),
            "size": int(box[2] - box[0]),
            "landmarks": face["landmarks"].astype(int).tolist(),
            "gender": None,
            "age": None,
            "mask_probs": None,
            **self.embed(crop),
        }

    def item(self, content, request):
        """What becomes of one picture; failures hide where the container hides them."""
        aligned = request.get("embed_only", False)
        try:
            picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
            if picture is None:
                raise ValueError("Can't decode file, possibly not an image")
            picture = picture[:, :, ::-1]
            if aligned:
                if picture.shape != (112, 112, 3):
                    raise ValueError(f"expected a crop of 112x112, found {picture.shape}")
                crop = {"bbox": [0, 0, 112, 112], "size": 112, "prob": 1.0, "status": "ok"}
                return {"status": "ok", "took_ms": 0, "faces": [{**self.embed(picture), **crop}]}
            # The detector of parity_pipeline knows one threshold, which is the one facefold asks for.
            if request.get("threshold", 0.6) != 0.5:
                raise ValueError("this peer detects at threshold 0.5 only")
            canvas, scale = resized(picture, self.max_size)
            found = pipeline.on_canvas(self.detector, canvas, np.array([1 / scale, 1 / scale]))
            faces = [self.face(picture, number, face) for number, face in enumerate(found)]
            return {"status": "ok", "took_ms": 0.0, "faces": faces}
        except Exception:
            failed = {"status": "failed", "traceback": traceback.format_exc()}
            if aligned:
                return {"status": "ok", "took_ms": 0, "faces": [failed]}
            return {**failed, "took_ms": 0.0, "faces": []}

    def extract(self, request, in_base64):
        pictures = request["images"]["data"]
        if in_base64:
            pictures = [base64.b64decode(picture) for picture in pictures]
        with self.turn:
            return {"took": {"total_ms": 0.0}, "data": [self.item(p, request) for p in pictures]}

    def info(self):
        models = {
            "inference_backend": "onnx",
            "det_name": NETWORKS[0],
            "rec_name": NETWORKS[1],
            "max_size": self.max_size,
            "ga_name": None,
            "mask_detector": None,
            "rec_batch_size": 1,
            "det_batch_size": 1,
            "force_fp16": False,
            "triton_uri": None,
        }
        return {"version": "parity", "models": models, "defaults": {"det_thresh": 0.6}}


def handler(server, with_msgpack):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, status, content_type, body):
            self.send_response(status)
            self.send_header("content-type", content_type)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def json(self, status, value):
            self.answer(status, "application/json", json.dumps(value, allow_nan=False).encode())

        def do_GET(self):
            if self.path == "/info":
                self.json(200, server.info())
            else:
                self.json(404, {"detail": "Not Found"})

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path != "/extract":
                return self.json(404, {"detail": "Not Found"})
            packed = self.headers["content-type"] == "application/msgpack"
            if packed and not with_msgpack:
                return self.json(422, {"detail": "no msgpack here"})
            try:
                request = msgpack.unpackb(body) if packed else json.loads(body)
                reply = server.extract(request, not packed)
                # Without an Accept header this raises, in the container too.
                if request.get("msgpack") or "application/x-msgpack" in self.headers["accept"]:
                    packed = msgpack.packb(reply, use_single_float=True)
                    return self.answer(200, "application/x-msgpack", packed)
                return self.json(200, reply)
            except Exception as error:
                return self.json(500, {"detail": str(error)})

        def log_message(self, *_):
            pass

    return Handler


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models")
    parser.add_argument("--port", type=int, default=18081)
    parser.add_argument("--max-size", default="640,640", help="width and height of the detector's input")
    parser.add_argument("--without-msgpack", action="store_true")
    arguments = parser.parse_args()
    with_msgpack = msgpack is not None and not arguments.without_msgpack
    max_size = [int(side) // 32 * 32 for side in arguments.max_size.split(",")]
    serve = handler(Server(arguments.models, max_size), with_msgpack)
    with http.server.ThreadingHTTPServer(("127.0.0.1", arguments.port), serve) as listener:
        print(f"http://127.0.0.1:{listener.server_address[1]}", flush=True)
        listener.serve_forever()


if __name__ == "__main__":
    main()
