"""An ext4 of its own in a file, mounted through a loop device, whose power can be cut."""
import fcntl
import os
import shutil
import struct
import subprocess
import time
from pathlib import Path

SKIPPED = 77  # ctest's SKIP_RETURN_CODE
FS_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2
UNMOUNT_SECONDS = 20


class NotPermitted(Exception):
    """This machine or container does not let us mount."""


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise NotPermitted(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout.strip()


class LoopDisk:
    def __init__(self, folder, mebibytes=768):
        self.image = Path(folder) / "disk.img"
        self.path = Path(folder) / "disk"
        self.path.mkdir(parents=True)
        with open(self.image, "wb") as file:
            file.truncate(mebibytes << 20)
        run("mkfs.ext4", "-q", "-F", str(self.image))
        self.mounted = False

    def mount(self):
        run("mount", "-o", "loop", str(self.image), str(self.path))
        self.mounted = True

    def unmount(self):
        # The kernel closes the files of a killed io_uring user a while after the process is gone.
        deadline = time.monotonic() + UNMOUNT_SECONDS
        while self.mounted:
            try:
                run("umount", str(self.path))
                self.mounted = False
            except NotPermitted as problem:
                if "busy" not in str(problem) or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def cut_power(self):
        """What was not flushed is gone: neither page cache nor the file system's log is written."""
        fd = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, FS_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(fd)

    def free_bytes(self):
        return shutil.disk_usage(self.path).free

    def device(self):
        return run("findmnt", "-no", "SOURCE", str(self.path))

    def flushes(self):
        """Cache flushes that the device was asked for since it was set up."""
        name = self.device().removeprefix("/dev/")
        return int(Path(f"/sys/block/{name}/stat").read_text().split()[15])


SMALL_JOURNAL = {"drave.journal.bytes": str(64 << 20), "drave.journal.file.bytes": str(8 << 20)}


def disk_or_skip(folder, mebibytes=768):
    """A mounted disk, or None after saying why there is none and removing `folder`."""
    try:
        disk = LoopDisk(folder, mebibytes)
        disk.mount()
        return disk
    except (NotPermitted, FileNotFoundError) as error:
        print(f"skipped: no loop mounts here: {error}")
        shutil.rmtree(folder)
        return None
