#!/usr/bin/env python3
"""Pictures that the encoders of the crate `image` do not write, made by Pillow: `make.py FOLDER`."""
import sys
from pathlib import Path

from PIL import Image

folder = Path(sys.argv[1])
grey = Image.linear_gradient("L").resize((32, 24))
small = grey.resize((16, 16)).convert("RGB")
grey.convert("RGB").save(folder / "lossy.webp", quality=1, method=6)
grey.convert("RGB").save(folder / "two.webp", save_all=True, append_images=[grey.rotate(180).convert("RGB")], quality=1)
grey.quantize(4).save(folder / "palette.png", bits=2)
for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "group4", "jpeg"):
    (small.convert("1") if compression == "group4" else small).save(folder / f"{compression}.tif", compression=compression)
small.convert("CMYK").save(folder / "cmyk.tif", compression="tiff_lzw")
small.save(folder / "big.tif", big_tiff=True, compression="tiff_lzw")
small.quantize(8).save(folder / "palette.bmp")
small.quantize(8).save(folder / "palette.gif", interlace=1)
