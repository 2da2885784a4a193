"""The whole pipeline from a picture to an embedding with OpenCV and onnxruntime, written straight.

    python parity_pipeline.py MODELS PICTURE...

MODELS holds scrfd_500m_bnkps.onnx and w600k_mbf.onnx. For each picture one line of JSON: its path,
the number of faces, and of the main face box, landmarks, score and embedding; or `rejected`.
Needs numpy, opencv-python and onnxruntime. `cargo test -p facefold-vision` compares facefold with
it where FACEFOLD_PARITY_PYTHON names a python that has them.
"""

import json
import sys

import cv2
import numpy as np
import onnxruntime

TEMPLATE = np.array(
    [
        (38.2946, 51.6963),
        (73.5318, 51.5014),
        (56.0252, 71.7366),
        (41.5493, 92.3655),
        (70.7299, 92.2041),
    ]
)


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def network_input(picture, subtract, divide):
    return ((picture.astype(np.float32) - subtract) / divide).transpose(2, 0, 1)[None]


def input_side(longer):
    return -(-min(max(longer, 256), 640) // 32) * 32


def suppress(faces, threshold=0.4):
    kept = []
    for face in sorted(faces, key=lambda face: -face["score"]):
        if all(overlap(face["box"], better["box"]) <= threshold for better in kept):
            kept.append(face)
    return kept


def overlap(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    shared = max(width, 0) * max(height, 0)
    area = lambda box: (box[2] - box[0] + 1) * (box[3] - box[1] + 1)
    return shared / (area(a) + area(b) - shared)


def attempt(detector, picture, side):
    """Faces of a picture shown to the network on a square of this side."""
    height, width = picture.shape[:2]
    longer = max(height, width)
    new = max(int(side * width / longer), 1), max(int(side * height / longer), 1)
    canvas = np.zeros((side, side, 3), np.uint8)
    canvas[: new[1], : new[0]] = cv2.resize(picture, new)
    return on_canvas(detector, canvas, np.array([width / new[0], height / new[1]]))


def on_canvas(detector, canvas, scale):
    """Faces that the network sees on a canvas, in pixels of the canvas times the scale."""
    names = [f"{kind}_{stride}" for stride in (8, 16, 32) for kind in ("score", "bbox", "kps")]
    outputs = detector.run(names, {"input.1": network_input(canvas, 127.5, 128.0)})
    faces = []
    for index, stride in enumerate((8, 16, 32)):
        scores, boxes, points = (values[0] for values in outputs[3 * index : 3 * index + 3])
        cells = canvas.shape[1] // stride
        for anchor in np.flatnonzero(scores[:, 0] >= 0.5):
            corner = np.array([anchor // 2 % cells, anchor // 2 // cells]) * stride
            left, top, right, bottom = boxes[anchor] * stride
            box = np.concatenate([(corner - (left, top)) * scale, (corner + (right, bottom)) * scale])
            landmarks = (corner + points[anchor].reshape(5, 2) * stride) * scale
            score = float(scores[anchor, 0])
            faces.append({"box": box, "landmarks": landmarks, "score": score})
    return suppress(faces)


def detect(detector, picture):
    height, width = picture.shape[:2]
    faces = attempt(detector, picture, input_side(max(height, width)))
    if not faces:
        pad = max(height, width) // 4
        padded = np.pad(picture, ((pad, pad), (pad, pad), (0, 0)))
        side = input_side(max(padded.shape[:2]))
        faces = attempt(detector, padded, side)
        if not faces:
            faces = attempt(detector, padded, 320 if side == 640 else 640)
        for face in faces:
            face["box"] -= pad
            face["landmarks"] -= pad

    def prominence(face):
        left, top, right, bottom = face["box"]
        offset = np.array([left + right - width, top + bottom - height]) / 2
        return (right - left) * (bottom - top) - 2 * (offset**2).sum()

    return sorted(faces, key=prominence, reverse=True)


def umeyama(source, target):
    """Umeyama 1991, equations 40 to 42, in two dimensions."""
    mean_source, mean_target = source.mean(0), target.mean(0)
    a, b = source - mean_source, target - mean_target
    u, singular, v = np.linalg.svd(b.T @ a / len(source))
    signs = np.array([1, np.sign(np.linalg.det(u) * np.linalg.det(v))])
    rotation = u @ np.diag(signs) @ v
    scale = (singular * signs).sum() / a.var(0).sum()
    return np.column_stack([scale * rotation, mean_target - scale * rotation @ mean_source])


def main(models, paths):
    detector = session(f"{models}/scrfd_500m_bnkps.onnx")
    network = session(f"{models}/w600k_mbf.onnx")
    name = network.get_inputs()[0].name
    for path in paths:
        picture = cv2.imread(path)
        faces = [] if picture is None else detect(detector, picture[:, :, ::-1])
        if not faces:
            print(json.dumps({"path": path, "rejected": True}))
            continue
        face = faces[0]
        crop = cv2.warpAffine(picture[:, :, ::-1], umeyama(face["landmarks"], TEMPLATE), (112, 112))
        embedding = network.run(None, {name: network_input(crop, 127.5, 127.5)})[0][0]
        print(
            json.dumps(
                {
                    "path": path,
                    "found": len(faces),
                    "box": face["box"].tolist(),
                    "landmarks": face["landmarks"].tolist(),
                    "score": face["score"],
                    "embedding": embedding.tolist(),
                }
            )
        )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
