"""Writes the .npy files of npy_test.cc, with NumPy: python3 make_npy.py"""

import pathlib

import numpy as np
from numpy.lib import format as npy

here = pathlib.Path(__file__).parent
count = np.arange(24).reshape(2, 3, 4)

for code in ["f4", "f8", "f2", "i8", "i2", "u1"]:
    np.save(here / f"{code}.npy", count.astype(code))
np.save(here / "big_f4.npy", count.astype(">f4"))
np.save(here / "big_i2.npy", count.astype(">i2"))
np.save(here / "fortran_f8.npy", np.asfortranarray(count.astype("f8")))
np.save(here / "big_fortran_i4.npy", np.asfortranarray(count.astype(">i4")))
np.save(here / "bool.npy", np.array([False, True]))
np.save(here / "scalar.npy", np.array(2.5))
np.save(here / "empty.npy", np.zeros((0, 3), "f4"))
np.save(here / "complex.npy", np.zeros(2, "c8"))
np.save(here / "string.npy", np.array(["ab", "c"]))
np.save(here / "structured.npy", np.zeros(2, [("a", "f4"), ("b", "i4")]))
for version in [2, 3]:
    with open(here / f"version{version}.npy", "wb") as file:
        npy.write_array(file, count.astype("f4"), version=(version, 0))
