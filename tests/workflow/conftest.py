import shutil

import pytest
from filelock import FileLock
from project import Project, copy_project, small_config


@pytest.fixture(scope="session")
def finished(root, tmp_path_factory, worker_id):
    """Folder of a project whose run is finished, made once for all workers of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "finished"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            made = Project(folder.with_name("making"))
            copy_project(root, made.folder)
            done = made.run(small_config(), "--logger=coresift")
            made.first_terminal.write_text(done.stderr)
            made.folder.rename(folder)
    return folder


@pytest.fixture(scope="module")
def project(finished, tmp_path_factory):
    """A copy of the finished project for one file of tests."""
    folder = tmp_path_factory.mktemp("project") / "copy"
    shutil.copytree(finished, folder)
    return Project(folder)


@pytest.fixture
def own_project(finished, tmp_path):
    """A copy of the finished project for one test, that may go on with its run."""
    shutil.copytree(finished, tmp_path / "copy")
    return Project(tmp_path / "copy")
