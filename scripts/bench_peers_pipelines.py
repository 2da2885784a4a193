"""What `bench_peers.py` measures facefold against, each in a process of its own on one core."""

import multiprocessing
import os
import pathlib
import tempfile
import time

# In memory where there is such a place: how soon a disk says that it has written is not what is measured.
STORES = "/dev/shm" if os.path.isdir("/dev/shm") else None


def one_thread():
    """Options of a session that keeps to the thread which calls it.

    By default a session starts a thread for each core of the machine, sets each on its core,
    whatever the process was allowed, and lets them wait in busy loops: a picture then costs three
    times the processor time, and two such processes take the cores from each other.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return options


class Straight:
    """The pipeline on onnxruntime and OpenCV, on one thread."""

    def __init__(self, models):
        import numpy

        self.numpy = numpy
        self.detector = self.session(models["detector"])
        self.sessions = {}
        self.template = numpy.array(
            [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
        )

    @staticmethod
    def session(path):
        import onnxruntime

        return onnxruntime.InferenceSession(str(path), one_thread(), providers=["CPUExecutionProvider"])

    def run(self, path, batch):
        if path not in self.sessions:
            self.sessions[path] = self.session(path)
        session = self.sessions[path]
        return session.run(None, {session.get_inputs()[0].name: batch})

    def blob(self, pictures, divide):
        import cv2

        return cv2.dnn.blobFromImages(pictures, 1.0 / divide, None, (127.5, 127.5, 127.5), swapRB=True)

    @staticmethod
    def decode(content):
        import cv2

        np = __import__("numpy")
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)

    def attempt(self, picture, side):
        import cv2

        np = self.numpy
        height, width = picture.shape[:2]
        longer = max(height, width)
        new = max(int(side * width / longer), 1), max(int(side * height / longer), 1)
        canvas = np.zeros((side, side, 3), np.uint8)
        canvas[: new[1], : new[0]] = cv2.resize(picture, new)
        names = [f"{kind}_{stride}" for stride in (8, 16, 32) for kind in ("score", "bbox", "kps")]
        outputs = self.detector.run(names, {"input.1": self.blob([canvas], 128.0)})
        scale = np.array([width / new[0], height / new[1]])
        found = []
        for index, stride in enumerate((8, 16, 32)):
            scores, boxes, points = (values.reshape(-1, values.shape[-1]) for values in outputs[3 * index : 3 * index + 3])
            anchors = np.flatnonzero(scores[:, 0] >= 0.5)
            cells = side // stride
            corner = np.stack([anchors // 2 % cells, anchors // 2 // cells], 1) * stride
            box = boxes[anchors] * stride
            left = (corner - box[:, :2]) * scale
            right = (corner + box[:, 2:]) * scale
            marks = (corner[:, None] + points[anchors].reshape(-1, 5, 2) * stride) * scale
            found.append(np.concatenate([left, right, scores[anchors], marks.reshape(-1, 10)], 1))
        return self.suppress(np.concatenate(found))

    def suppress(self, faces):
        np = self.numpy
        faces = faces[np.argsort(-faces[:, 4])]
        kept = []
        while len(faces):
            best, faces = faces[0], faces[1:]
            kept.append(best)
            low, high = np.maximum(best[:2], faces[:, :2]), np.minimum(best[2:4], faces[:, 2:4])
            shared = np.clip(high - low + 1, 0, None).prod(1)
            area = (faces[:, 2:4] - faces[:, :2] + 1).prod(1)
            faces = faces[shared / (area + (best[2:4] - best[:2] + 1).prod() - shared) <= 0.4]
        return kept

    def detect(self, picture):
        """Landmarks of the main face, or nothing."""
        np = self.numpy
        side = lambda longer: -(-min(max(longer, 256), 640) // 32) * 32
        height, width = picture.shape[:2]
        pad, faces = 0, self.attempt(picture, side(max(height, width)))
        if not faces:
            pad = max(height, width) // 4
            padded = np.pad(picture, ((pad, pad), (pad, pad), (0, 0)))
            first = side(max(padded.shape[:2]))
            faces = self.attempt(padded, first) or self.attempt(padded, 320 if first == 640 else 640)
        if not faces:
            return None

        def prominence(face):
            offset = (face[:2] + face[2:4]) / 2 - pad - np.array([width, height]) / 2
            return (face[2:4] - face[:2]).prod() - 2 * (offset**2).sum()

        return max(faces, key=prominence)[5:].reshape(5, 2) - pad

    def align(self, picture, landmarks):
        import cv2

        np = self.numpy
        # Umeyama's similarity in two dimensions: a regression of complex numbers.
        p, q = (points[:, 0] + 1j * points[:, 1] for points in (landmarks, self.template))
        a = p - p.mean()
        turn = (a.conj() @ (q - q.mean())) / (a.conj() @ a).real
        shift = q.mean() - turn * p.mean()
        matrix = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
        return cv2.warpAffine(picture, matrix, (112, 112))

    def embed(self, path, crops):
        return self.run(path, self.blob(crops, 127.5))[0]

    def pipeline(self, paths, model, batch):
        crops, rows = [], []
        for path in paths:
            picture = self.decode(pathlib.Path(path).read_bytes())
            landmarks = None if picture is None else self.detect(picture)
            if landmarks is not None:
                crops.append(self.align(picture, landmarks))
            if len(crops) == batch:
                rows.append(self.embed(model, crops))
                crops = []
        if crops:
            rows.append(self.embed(model, crops))
        return self.store(rows, paths)

    def store(self, rows, paths):
        """Pictures done: those without a face cost time too."""
        with tempfile.TemporaryDirectory(dir=STORES) as folder:
            self.numpy.save(f"{folder}/embeddings.npy", self.numpy.concatenate(rows or [[]]))
        return len(paths)


class Package(Straight):
    """The insightface package, used as its documentation shows."""

    def __init__(self, models):
        super().__init__(models)
        import functools

        from insightface.app import FaceAnalysis
        from insightface.model_zoo import model_zoo

        # The package has no way to hand options to its sessions.
        model_zoo.PickableInferenceSession = functools.partial(model_zoo.PickableInferenceSession, sess_options=one_thread())
        allowed = ["detection", "recognition"]
        self.app = FaceAnalysis(str(models["package"]), allowed_modules=allowed, providers=["CPUExecutionProvider"])
        self.side = None

    def pipeline(self, paths, model, batch):
        rows = []
        for path in paths:
            picture = self.decode(pathlib.Path(path).read_bytes())
            height, width = picture.shape[:2]
            side = -(-min(max(height, width, 256), 640) // 32) * 32
            if side != self.side:
                self.app.prepare(ctx_id=-1, det_thresh=0.5, det_size=(side, side))
                self.side = side
            faces = self.app.get(picture, max_num=1)
            rows.extend(face.embedding[None] for face in faces)
        return self.store(rows, paths)


def serve(kind, models, core, pipe):
    """A peer's process: runs its commands on one core."""
    os.sched_setaffinity(0, {core})
    try:
        import cv2

        cv2.setNumThreads(1)
        peer = kind(models)
        pipe.send(None)
    except Exception as error:  # The package may be missing or have changed.
        pipe.send(repr(error))
        return
    kept = {}
    while True:
        try:
            stage, arguments = pipe.recv()
        except EOFError:  # The measurement is over.
            return
        if stage == "load":
            pictures = [pathlib.Path(path).read_bytes() for path in arguments]
            kept = {"content": pictures, "pictures": [peer.decode(content) for content in pictures]}
            kept["landmarks"] = [peer.detect(picture) for picture in kept["pictures"]]
            faces = [pair for pair in zip(kept["pictures"], kept["landmarks"]) if pair[1] is not None]
            kept["faces"] = faces
            kept["crops"] = [peer.align(*face) for face in faces]
        before, start = time.process_time(), time.perf_counter()
        done = work(peer, kept, stage, arguments)
        pipe.send((done, time.perf_counter() - start, time.process_time() - before))


def work(peer, kept, stage, arguments):
    if stage == "decode":
        return len([peer.decode(content) for content in kept["content"]])
    if stage == "detect":
        return len([peer.detect(picture) for picture in kept["pictures"]])
    if stage == "align":
        return len([peer.align(*face) for face in kept["faces"]])
    if stage == "embed":
        model, batch = arguments
        crops = kept["crops"]
        return sum(len(peer.embed(model, crops[i : i + batch])) for i in range(0, len(crops), batch))
    if stage == "network":
        model, side, batch, rounds = arguments
        noise = peer.numpy.random.default_rng(0).standard_normal((batch, 3, side, side), dtype="float32")
        for _ in range(rounds):
            peer.run(model, noise)
        return rounds * batch
    if stage == "pipeline":
        return peer.pipeline(*arguments)
    return 0


class Peer:
    """As many processes of a peer as there are cores."""

    def __init__(self, kind, models, cores):
        self.cores, self.pipes, self.failure = cores, {}, None
        for core in cores:
            ours, theirs = multiprocessing.Pipe()
            process = multiprocessing.Process(target=serve, args=(kind, models, core, theirs), daemon=True)
            process.start()
            self.pipes[core] = ours
        for pipe in self.pipes.values():
            self.failure = pipe.recv() or self.failure

    def ask(self, stage, arguments, cores):
        """Pictures, wall-clock seconds, processor seconds of the processes on these cores;
        `arguments` gives each its own."""
        start = time.perf_counter()
        for number, core in enumerate(cores):
            self.pipes[core].send((stage, arguments(number) if callable(arguments) else arguments))
        answers = [self.pipes[core].recv() for core in cores]
        wall = time.perf_counter() - start
        return sum(a[0] for a in answers), wall, sum(a[2] for a in answers)
