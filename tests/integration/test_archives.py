# SPDX-License-Identifier: Apache-2.0
"""Images out: saved for other tools and back, exported as a tree, committed from a sandbox."""

import contextlib
import io
import json
import os
import signal
import subprocess
import tarfile
import tempfile
import threading

import pytest

import archives
import conftest
import harness
from archives import Entry, directory

# Prints every name below / with all that counts of it. What each sandbox gets anew is left out.
DESCRIBE = r"""
import hashlib, json, os, stat
skip = {b"/proc", b"/sys", b"/dev", b"/tmp", b"/etc/hostname", b"/etc/hosts", b"/etc/resolv.conf"}
found, links = {}, {}
def add(path):
    s = os.lstat(path)
    kind = stat.S_IFMT(s.st_mode)
    if kind == stat.S_IFREG:
        with open(path, "rb") as file:
            content = hashlib.sha256(file.read()).hexdigest()
    else:
        content = os.readlink(path).hex() if kind == stat.S_IFLNK else None
    xattrs = sorted((a, os.getxattr(path, a, follow_symlinks=False).hex())
                    for a in os.listxattr(path, follow_symlinks=False) if a.startswith("user."))
    links.setdefault(s.st_ino if s.st_nlink > 1 and kind != stat.S_IFDIR else path.hex(), []).append(path.hex())
    found[path.hex()] = [s.st_mode, s.st_uid, s.st_gid, s.st_mtime_ns, s.st_size if kind == stat.S_IFREG else 0,
                         content, xattrs]
for where, dirs, files in os.walk(b"/"):
    dirs[:] = [d for d in dirs if os.path.join(where, d) not in skip]
    for name in dirs + files:
        path = os.path.join(where, name)
        if path not in skip:
            add(path)
print(json.dumps([found, sorted(sorted(l) for l in links.values() if len(l) > 1)]))
"""


@pytest.fixture(scope="module")
def python(engine):
    """An image with python in it, and so with everything that a test of trees needs."""
    if not os.path.exists(conftest.PYTHON_IMAGE):
        conftest.skip("there is no " + conftest.PYTHON_IMAGE)
    with open(conftest.PYTHON_IMAGE, "rb") as file:
        engine.api.import_image("python:3", file.read()).ok()
    return "python:3"


@pytest.fixture
def removed(api):
    """Names of images that go after the test."""
    names = []
    yield names
    for name in names:
        assert api.remove_image(name).status in (200, 404)


@pytest.fixture
def make(removed, make):
    """Sandboxes go before the images that they run from."""
    return make


def describe(api, key):
    result = api.exec(key, ["python3", "-c", DESCRIBE], user="0")
    assert result.code == 0, result
    return json.loads(result.stdout)


def commit(api, key, name, **more):
    return api.request("POST", f"/api/v1/sandbox/{key}/commit", {"image": name, **more})


def image(api, name):
    return api.request("GET", f"/api/v1/images/{name}").ok()


def save(api, *names, format="oci"):
    query = "&".join(["image=" + name for name in names] + ["format=" + format])
    return api.raw("GET", "/api/v1/image-archive?" + query)


def tool(*arguments, **more):
    return subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, text=True,
                          **more)


@pytest.fixture
def scratch():
    with tempfile.TemporaryDirectory(dir="/var/tmp") as path:
        yield path


# ---- save ------------------------------------------------------------------------------------------

def two_images(api, removed):
    base = archives.tar(archives.busybox_entries())
    top = archives.tar([Entry("etc/top", b"top"), Entry("bin/.wh.vi")])
    layout = archives.Layout([base, top], {"Cmd": ["sh"], "Env": ["A=b"]}, how="gzip")
    api.import_image("example.com/two:1", layout.as_tar()).ok()
    api.import_image("plain:1", archives.docker_save([base], tag="plain:1")).ok()
    removed += ["example.com/two:1", "plain:1"]
    return [image(api, "example.com/two:1"), image(api, "plain:1")]


@pytest.mark.parametrize("format", ["oci", "docker"])
def test_saved_images_come_back_as_they_were(api, removed, format):
    before = two_images(api, removed)
    answer = save(api, "example.com/two:1", "plain:1", format=format)
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/x-tar"
    again = save(api, "example.com/two:1", "plain:1", format=format)
    assert again.body == answer.body
    names = tarfile.open(fileobj=io.BytesIO(answer.body)).getnames()
    assert len(names) == len(set(names))
    assert ("manifest.json" in names) == (format == "docker")
    for one in before:
        api.remove_image(one["name"]).ok()
    back = api.request("POST", "/api/v1/images", answer.body).ok()["images"]
    for old, new in zip(before, sorted(back, key=lambda one: one["name"] != "example.com/two:1")):
        for key in ("name", "id", "digest", "layers", "config", "mediaType"):
            assert old[key] == new[key], key


def test_what_is_removed_while_it_is_saved_is_saved(engine, api, removed):
    layers = [archives.tar([Entry(f"etc/{n}", os.urandom(100 << 10))]) for n in range(40)]
    api.import_image("long:1", archives.docker_save(layers, tag="long:1")).ok()
    blobs = [f"{engine.state}/gateway/blobs/sha256/{archives.sha256(layer)}" for layer in layers]
    assert all(os.path.exists(path) for path in blobs)
    with contextlib.closing(harness.UnixConnection(engine.socket, 60)) as connection:
        connection.request("GET", "/api/v1/image-archive?image=long:1&format=oci")
        answer = connection.getresponse()
        first = answer.read(512)
        api.remove_image("long:1").ok()
        api.request("POST", "/api/v1/images/prune", {}).ok()
        whole = tarfile.open(fileobj=io.BytesIO(first + answer.read()))
    assert sum(whole.extractfile(one).read() in layers for one in whole.getmembers() if one.isfile()) == len(layers)
    harness.wait_until(lambda: not any(os.path.exists(path) for path in blobs), 10, "the blobs to go")


def test_save_of_nothing(api):
    for query, status in (("", 400), ("image=missing", 404), ("image=busybox&format=zip", 400),
                          ("image=//", 400), ("image=busybox&image=missing", 404)):
        assert api.raw("GET", "/api/v1/image-archive?" + query).status == status, query


def test_other_tools_read_what_is_saved(api, removed, scratch):
    two_images(api, removed)
    for format in ("oci", "docker"):
        with open(f"{scratch}/{format}.tar", "wb") as file:
            file.write(save(api, "example.com/two:1", "plain:1", format=format).body)
    name = "docker-archive:{}/docker.tar:example.com/two:1".format(scratch)
    run = tool("skopeo", "inspect", "--config", name)
    assert run.returncode == 0 and '"A=b"' in run.stdout, run.stdout
    run = tool("skopeo", "copy", name, f"dir:{scratch}/dir")
    assert run.returncode == 0, run.stdout
    os.mkdir(f"{scratch}/layout")
    assert tool("tar", "-C", f"{scratch}/layout", "-xf", f"{scratch}/oci.tar").returncode == 0
    for ref, file in (("example.com/two:1", "top"), ("docker.io/library/plain:1", None)):
        run = tool("skopeo", "copy", f"oci:{scratch}/layout:{ref}", f"oci:{scratch}/copy:latest")
        assert run.returncode == 0, run.stdout
        at = f"{scratch}/bundle-{file}"
        run = tool("umoci", "unpack", "--image", f"{scratch}/copy:latest", at)
        assert run.returncode == 0, run.stdout
        assert os.path.exists(f"{at}/rootfs/bin/busybox")
        assert os.path.exists(f"{at}/rootfs/etc/top") == (file == "top")
        assert os.path.lexists(f"{at}/rootfs/bin/vi") == (file is None)


def test_other_tools_read_what_is_committed(api, make, removed, scratch):
    key = make("busybox")
    script = ("printf one >\"/$(printf 'e\\314\\201 \\303\\251 \\377')\"; ln /bin/busybox /bin/again; rm /etc/passwd; "
              "rm -r /home; mkdir -m 1777 /home; echo x >/home/file; chmod 4711 /home/file; mkfifo /home/fifo")
    assert api.exec(key, script, user="0").code == 0
    commit(api, key, "tools:1").ok()
    removed.append("tools:1")
    with open(f"{scratch}/tools.tar", "wb") as file:
        file.write(save(api, "tools:1").body)
    run = tool("skopeo", "copy", f"oci-archive:{scratch}/tools.tar", f"oci:{scratch}/copy:latest")
    assert run.returncode == 0, run.stdout
    run = tool("umoci", "unpack", "--image", f"{scratch}/copy:latest", f"{scratch}/at")
    assert run.returncode == 0, run.stdout
    root = os.fsencode(f"{scratch}/at/rootfs/")
    with open(root + b"e\xcc\x81 \xc3\xa9 \xff") as file:
        assert file.read() == "one"
    assert os.path.samefile(root + b"bin/again", root + b"bin/busybox")
    assert not os.path.lexists(root + b"etc/passwd") and sorted(os.listdir(root + b"home")) == [b"fifo", b"file"]
    assert os.stat(root + b"home").st_mode & 0o7777 == 0o1777
    assert os.stat(root + b"home/file").st_mode & 0o7777 == 0o4711


def test_podman_loads_what_is_saved(api, removed, scratch):
    two_images(api, removed)
    podman = ("podman", "--root", f"{scratch}/root", "--runroot", f"{scratch}/run", "--storage-driver", "vfs")
    for format in ("oci", "docker"):
        path = f"{scratch}/{format}.tar"
        with open(path, "wb") as file:
            file.write(save(api, "example.com/two:1", format=format).body)
        run = tool(*podman, "load", "-i", path)
        assert run.returncode == 0 and "example.com/two:1" in run.stdout, run.stdout
        run = tool(*podman, "image", "inspect", "example.com/two:1")
        assert run.returncode == 0 and image(api, "example.com/two:1")["id"][7:] in run.stdout, run.stdout
        assert tool(*podman, "rmi", "--all", "--force").returncode == 0
    assert tool(*podman, "system", "reset", "--force").returncode == 0


def test_a_client_that_leaves_ends_the_workers(engine, api, removed, python):
    for path in ("/api/v1/image-archive?image=python:3", "/api/v1/image-rootfs?image=python:3"):
        connection = harness.UnixConnection(api.path, 60)
        connection.request("GET", path)
        assert connection.getresponse().read(1000)
        connection.close()
        harness.wait_until(lambda: not [p for p in harness.children(engine.pid)
                                        if harness.comm(p) == "caisson-image"], 10, "workers end")


# ---- export ----------------------------------------------------------------------------------------

def test_export_is_what_a_sandbox_sees(api, make, removed, python, scratch):
    """Layers stack, whiteouts are gone, and so are devices of the archive's form."""
    answer = api.raw("GET", "/api/v1/image-rootfs?image=" + python)
    assert answer.status == 200
    api.import_image("exported", answer.body).ok()
    removed.append("exported")
    before, after = (describe(api, make(one)) for one in (python, "exported"))
    assert len(before[0]) > 3000
    assert before == after
    assert api.raw("GET", "/api/v1/image-rootfs?image=exported").body == answer.body


def test_export_flattens(api, removed):
    two_images(api, removed)
    flat = tarfile.open(fileobj=io.BytesIO(api.raw("GET", "/api/v1/image-rootfs?image=example.com/two:1").body))
    names = flat.getnames()
    assert "etc/top" in names and "bin/vi" not in names and "bin/busybox" in names
    assert not [name for name in names if ".wh." in name]
    assert names == sorted(names, key=lambda name: name.encode().split(b"/")) or names[0] == "."
    assert api.raw("GET", "/api/v1/image-rootfs?image=missing").status == 404
    assert api.raw("GET", "/api/v1/image-rootfs").status == 400


# ---- commit ----------------------------------------------------------------------------------------

CHANGES = r"""
import os, shutil
def put(path, data=b"", mode=0o644, uid=0, gid=0):
    with open(path, "wb") as file:
        file.write(data)
    os.chown(path, uid, gid)
    os.chmod(path, mode)
put("/etc/added", b"added", 0o600, 33, 1000)
put("/etc/passwd", open("/etc/passwd", "rb").read() + b"new:x:4242:4242::/:/bin/sh\n")
os.remove("/etc/issue")
shutil.rmtree("/usr/share/doc")
shutil.rmtree("/usr/share/man"); os.mkdir("/usr/share/man", 0o711); put("/usr/share/man/only", b"1")
shutil.rmtree("/var/log"); put("/var/log", b"now a file")
os.remove("/etc/issue.net"); os.makedirs("/etc/issue.net/now/a/directory")
put("/opt/suid", b"#!/bin/sh\n", 0o4755, 65534, 65534)
put("/opt/one", b"linked"); os.link("/opt/one", "/opt/two"); os.link("/opt/one", "/usr/bin/three")
os.symlink("/nowhere/\n", "/opt/link"); os.link("/opt/link", "/opt/link2", follow_symlinks=False)
os.mkfifo("/opt/fifo", 0o640)
with open("/opt/sparse", "wb") as file:
    file.seek(5 << 20); file.write(b"x"); file.truncate(9 << 20)
put(b"/opt/\xff\xfe new\nline", b"odd"); put("/opt/e\u0301 \u00e9", b"accents"); put("/opt/" + "n" * 255, b"long")
os.setxattr("/opt/one", "user.colour", b"blue\0="); os.setxattr("/opt", "user.dir", b"")
deep = b"/opt"
for i in range(25):
    deep += b"/" + b"d" * 100; os.mkdir(deep)
put(deep + b"/f", b"deep")
os.chmod("/srv", 0o2775); os.chown("/srv", 7, 8)
os.utime("/opt/one", ns=(5, 1234567890123456789)); os.utime("/opt/suid", (5, -86400))
os.utime("/opt/" + "n" * 255, (5, 5000000000))
"""


def test_commit_keeps_every_change(api, make, removed, python):
    key = make(python)
    result = api.exec(key, ["python3", "-c", CHANGES], user="0")
    assert result.code == 0, result
    answer = commit(api, key, "committed:1", message="all of it", author="me")
    made = answer.ok()
    removed.append("committed:1")
    base = image(api, python)
    assert made["name"] == "committed:1" and made["config"] == base["config"]
    assert made["layers"][:-1] == base["layers"] and len(made["layers"]) == len(base["layers"]) + 1
    history = image(api, "committed:1")["history"][-1]
    assert history["comment"] == "all of it" and history["author"] == "me" and history["created"]
    before, after = describe(api, key), describe(api, make("committed:1"))
    for kind in (0, 1):
        assert before[kind] == after[kind], [
            one for one in (before[kind], after[kind])[0] if one not in after[kind]][:5]
    # It runs on, and what it does now is no part of the image.
    assert api.exec(key, "touch /later && ls /later").code == 0
    assert api.exec(make("committed:1"), "ls /later").code != 0


def test_the_same_content_is_the_same_layer(api, make, removed, python):
    layers = set()
    script = ("import os\nos.mkdir('/opt/a'); open('/opt/a/f', 'w').write('x')\n"
              "for p in ('/opt/a/f', '/opt/a', '/opt'): os.utime(p, (1, 1))")
    for name in ("one", "two", "three"):
        key = make(python) if name != "three" else key
        if name != "three":
            assert api.exec(key, ["python3", "-c", script], user="0").code == 0
        layers.add(json.dumps(commit(api, key, name).ok()["layers"][-1]))
        removed.append(name)
    assert len(layers) == 1, layers


def test_layers_of_commits_stack(api, make, removed):
    name = "busybox"
    for i in range(4):
        key = make(name)
        api.exec(key, f"rm -f /f{i - 1}; echo {i} >/f{i}; ls /").code == 0
        name = f"stack:{i}"
        commit(api, key, name).ok()
        removed.insert(0, name)
    listed = api.exec(make(name), "cat /f*").stdout
    assert listed == "3\n"
    assert len(image(api, name)["layers"]) == 5


def test_commit_of_nothing(api, make, removed):
    key = make("busybox")
    for body, status in (({}, 400), ({"image": "a@sha256:" + "0" * 64}, 400), ({"image": "//"}, 400),
                         ({"image": 5}, 400)):
        assert api.request("POST", f"/api/v1/sandbox/{key}/commit", body).status == status, body
    assert commit(api, "missing", "x").status == 404
    made = commit(api, key, "nothing").ok()
    removed.append("nothing")
    assert len(made["layers"]) == 2
    assert api.exec(make("nothing"), "ls /bin/busybox").code == 0


def test_by_the_command_line(engine, api, make, removed, scratch):
    key = make("busybox")
    assert api.exec(key, "echo new >/new").code == 0
    run = engine.cli("commit", key, "by-cli:1", "--message", "told", "--author", "me")
    assert run.returncode == 0 and run.stdout.startswith("by-cli:1 sha256:"), run
    removed.append("by-cli:1")
    assert "told" in engine.cli("image", "history", "by-cli:1").stdout
    for arguments in (("save", "by-cli:1", "busybox", "-o", scratch + "/saved"),
                      ("export", "by-cli:1", "-o", scratch + "/files")):
        run = engine.cli("image", *arguments)
        assert run.returncode == 0, run
    assert api.remove_image("by-cli:1").status == 200
    assert "by-cli:1" in engine.cli("image", "import", scratch + "/saved").stdout
    assert tarfile.open(scratch + "/files").extractfile("new").read() == b"new\n"
    run = engine.cli("commit", "missing", "x")
    assert run.returncode != 0 and "missing" in run.stderr


def test_processes_stand_still_and_go_on(api, make, removed):
    """A writer's file and its counter agree in the image: nothing was written in between."""
    key = make("busybox")
    script = "i=0; while :; do i=$((i+1)); echo $i >/a; echo $i >/b; done"
    with api.stream(key, script) as running:
        running.started()
        harness.wait_until(lambda: api.exec(key, "cat /b").stdout.strip(), 10)
        commit(api, key, "still").ok()
        removed.append("still")
        a, b = (int(api.exec(key, f"cat /{f}").stdout.strip() or 0) for f in "ab")
        harness.wait_until(lambda: int(api.exec(key, "cat /b").stdout.strip() or 0) > b, 10, "it goes on")
        running.signal(9)
        running.wait()
    seen = api.exec(make("still"), "cat /a /b").stdout.split()
    assert seen and (len(seen) == 1 or int(seen[0]) - int(seen[1]) in (0, 1)), seen


def test_a_commit_leaves_the_ids(engine, api, make, removed):
    """They are the sandbox's, whatever worker had them too."""
    key = make("busybox")
    base = harness.read(f"/proc/{engine.agent_of(key)}/uid_map").split()[1]
    for name in ("ids:1", "ids:2"):
        assert base in os.listdir(harness.IDS)
        commit(api, key, name).ok()
        removed.append(name)
    assert base in os.listdir(harness.IDS)


def test_an_image_that_has_changed_meanwhile(api, make, removed):
    """Its layers would be put under what was changed over others."""
    api.import_image("moving:1", archives.busybox()).ok()
    removed.append("moving:1")
    key = make("moving:1")
    api.import_image("moving:1", archives.busybox([Entry("more", b"1")])).ok()
    answer = commit(api, key, "moved")
    assert answer.status == 409 and "another one now" in answer.detail, answer


HOSTILE = {
    "fifos": "for i in range(200): os.mkfifo(f'/opt/f{i}')",
    "deep": "for i in range(400): os.mkdir('d' * 8); os.chdir('d' * 8)",
    "names": "for n in (b'a\\nb', b'-rf', b'...', b'\\1\\x7f', b'\\xff', b' '): os.makedirs(n + b'/' + n)",
    "links": "for n, t in (('a', '/'), ('b', '/proc/1/root'), ('c', '../../../../etc'), ('d', 'd')): os.symlink(t, n)",
    "no permission": "os.mkdir('n'); open('n/f', 'w'); os.chown('n/f', 5, 5); os.chmod('n/f', 0); os.chmod('n', 0)",
    "names of the walk": "os.mkdir('etc'); open('etc/hosts', 'w'); os.link('/etc/hosts', 'hosts')",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_trees_are_just_trees(api, make, removed, python, what):
    key = make(python)
    result = api.exec(key, ["python3", "-c", "import os; os.chdir('/opt')\n" + HOSTILE[what]], user="0")
    assert result.code == 0, result
    commit(api, key, "hostile").ok()
    removed.append("hostile")
    before, after = describe(api, key), describe(api, make("hostile"))
    if what == "names of the walk":  # its first name is one that is left out
        before[1].pop(0) if before[1] and "2f6f70742f686f737473" in before[1][0] else None
    assert before[0].keys() == after[0].keys()
    assert before == after


REFUSED = {
    "too long": ("for i in range(17): os.mkdir('d' * 250); os.chdir('d' * 250)", "longer than 4095"),
    "too large": ("os.truncate(os.open('huge', os.O_CREAT | os.O_RDWR), 8 << 40)", "bytes"),
    "like a whiteout": ("open('.wh.passwd', 'w')", "'opt/.wh.passwd'"),
    "too many attributes": ("open('f', 'w'); [os.setxattr('f', f'user.{i}', b'') for i in range(65)]", "'/opt/f'"),
    "odd attribute": ("open('f', 'w'); os.setxattr('f', 'user.a=b', b'')", "'opt/f'"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_no_layer_can_hold_is_refused_by_name(api, make, python, what):
    key = make(python)
    script, says = REFUSED[what]
    result = api.exec(key, ["python3", "-c", "import os; os.chdir('/opt')\n" + script], user="0")
    assert result.code == 0, result
    answer = commit(api, key, "refused")
    assert answer.status in (400, 409, 413, 507) and says in answer.detail, answer
    assert api.exec(key, "echo on").stdout == "on\n"
    assert api.request("GET", "/api/v1/images/refused").status == 404


def test_one_commit_at_a_time_and_the_end_of_a_sandbox(api, make, removed, python):
    """Commits and an end at once: each has an answer, and nothing stands still afterwards."""
    key = make(python)
    assert api.exec(key, "dd if=/dev/urandom of=/big bs=1M count=150 2>/dev/null").code == 0
    answers = []

    def run(name):
        own = harness.Api(api.path)
        answers.append(commit(own, key, name))
        own.close()

    threads = [threading.Thread(target=run, args=(f"at-once:{i}",)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    removed += [f"at-once:{i}" for i in range(4)]
    assert sorted({answer.status for answer in answers} | {200}) in ([200], [200, 409]), answers
    assert api.exec(key, "echo on").stdout == "on\n"
    thread = threading.Thread(target=run, args=("at-once:3",))
    thread.start()
    assert api.delete(key).status == 200
    thread.join(60)
    assert answers[-1].status in (200, 404, 409), answers[-1]


def is_walker(pid):
    try:
        return b"changes" in harness.read(f"/proc/{pid}/cmdline", binary=True)
    except OSError:
        return False


def walker(engine):
    """The worker that walks a sandbox, as soon as a commit has begun."""
    return harness.wait_until(lambda: [p for p in harness.children(engine.pid) if is_walker(p)], 10,
                              "a worker walks", every=0.002)[0]


def test_who_walks_sees_the_tree_and_nothing_else(engine, api, make, removed):
    key = make("busybox")
    assert api.exec(key, "dd if=/dev/urandom of=/big bs=1M count=100 2>/dev/null").code == 0
    answers = []
    thread = threading.Thread(target=lambda: answers.append(commit(harness.Api(api.path), key, "posture")))
    thread.start()
    pid = walker(engine)
    harness.wait_until(lambda: harness.status_of(pid)["Seccomp"] == "2", 10, every=0.001)
    os.kill(pid, signal.SIGSTOP)
    try:
        status, mounts = harness.status_of(pid), harness.mounts_of(pid)
        base = harness.read(f"/proc/{engine.agent_of(key)}/uid_map").split()[1]
        spaces = [name for name in ("user", "mnt", "pid", "net", "ipc", "uts")
                  if os.readlink(f"/proc/{pid}/ns/{name}") in (
                      os.readlink(f"/proc/{engine.pid}/ns/{name}"),
                      os.readlink(f"/proc/{engine.agent_of(key)}/ns/{name}"))]
        root, fds = os.listdir(f"/proc/{pid}/root/"), os.listdir(f"/proc/{pid}/fd")
        options = harness.read(f"/proc/{pid}/mountinfo").split()[5]
    finally:
        os.kill(pid, signal.SIGCONT)
    thread.join(60)
    removed.append("posture")
    assert answers[0].status == 200, answers
    assert (int(status["CapEff"], 16), int(status["CapBnd"], 16), status["NoNewPrivs"]) == (4, 0, "1")
    assert set(status["Uid"].split()) == {base} and not spaces, (status["Uid"], base, spaces)
    assert len(mounts) == 1 and {"ro", "nosuid", "nodev", "noexec"} <= set(options.split(",")), mounts
    assert "big" in root and "bin" not in root and set(fds) <= {"0", "1", "2", "3", "4"}, (root, fds)


@pytest.mark.parametrize("victim", ["worker", "gateway", "caissond"])
def test_nobody_stays_frozen(fresh_engine, victim):
    """Whoever dies in the middle of a commit, the sandbox goes on."""
    api = fresh_engine.api
    key = api.create("busybox").ok()["id"]
    assert api.exec(key, "dd if=/dev/urandom of=/big bs=1M count=200 2>/dev/null").code == 0

    def run():
        try:
            commit(harness.Api(api.path), key, "never")
        except OSError:
            pass
        except Exception:  # the connection went away in the middle of an answer
            pass

    thread = threading.Thread(target=run)
    thread.start()
    pid = walker(fresh_engine)
    if victim == "worker":
        os.kill(pid, 9)
    elif victim == "gateway":
        os.kill(fresh_engine.gateway, 9)
    else:
        fresh_engine.kill()
        fresh_engine.start()
    thread.join(60)
    harness.wait_until(api.healthy, 20)
    api.close()
    assert api.exec(key, "echo on", timeout=10).stdout == "on\n"
    assert api.delete(key).status == 200
