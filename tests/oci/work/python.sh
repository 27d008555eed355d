#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Python: a virtual environment, a package installed into it, and its tests by pytest.
set -eu
export PIP_NO_INDEX=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONHASHSEED=0 SOURCE_DATE_EPOCH=1704164645

before() {
	mkdir -p pkg/thing/inner pkg/tests
	cat >pkg/setup.py <<-'END'
		from setuptools import setup
		setup(name="thing", version="1.0", packages=["thing", "thing.inner"],
		      entry_points={"console_scripts": ["thing = thing:main"]})
	END
	printf 'from .inner import answer\n\n\ndef main():\n    print(answer())\n' >pkg/thing/__init__.py
	printf 'def answer():\n    return 42\n' >pkg/thing/inner/__init__.py
	cat >pkg/tests/test_thing.py <<-'END'
		import os
		import shutil

		import pytest
		import thing


		@pytest.mark.parametrize("n", range(50))
		def test_files(tmp_path, n):
		    (tmp_path / "a").mkdir()
		    (tmp_path / "a" / "b").write_text("x" * n)
		    os.rename(tmp_path / "a", tmp_path / "c")
		    assert (tmp_path / "c" / "b").read_text() == "x" * n
		    shutil.copytree(tmp_path / "c", tmp_path / "d", symlinks=True)
		    shutil.rmtree(tmp_path / "c")
		    assert os.listdir(tmp_path) == ["d"]


		def test_answer():
		    assert thing.inner.answer() == 42
	END
}

work() {
	/usr/bin/python3 -m venv --system-site-packages venv
	venv/bin/pip install --no-build-isolation ./pkg
	venv/bin/thing
	cd pkg
	../venv/bin/python -m pytest -q --basetemp=/work/tmp tests
	../venv/bin/pip uninstall -y thing
}

"$1"
