"""What a worker of the Executor takes over from its client, so that functions find there what they would find in a pool of
the standard library: paths, arguments, the `__main__` module, and the services of multiprocessing.

`gather` describes it, in the client; `apply` puts it in place, in the worker. There, nothing of multiprocessing is imported
for it, and the main module not run, before something needs them: that would be half of a worker's start. Import hooks wait
for the former, and a module that fills itself for the latter.
"""

import os
import sys
from types import ModuleType

_START = "import sys; sys.path[0] = sys.argv[1]; import orchestrator; del sys.path[0]; from orchestrator._call import main; main()"

# What subprocess looks at, but -B, which half of all containers have set.
_FLAGS = (
    "debug", "inspect", "interactive", "isolated", "optimize", "no_user_site", "no_site",
    "ignore_environment", "verbose", "bytes_warning", "quiet", "dev_mode", "safe_path",
)  # fmt: skip

_authkey = None


class NoGuard(RuntimeError):
    """A worker has imported its client's program, for a function of it, and that has begun to start a pool again."""

    def __init__(self):
        super().__init__(
            "the program starts a pool whenever it is imported, and workers import it for its functions: what it does when it"
            " is run belongs under `if __name__ == \"__main__\":`"
        )


# ---- In the client


def worker_command():
    """The command line of a worker, as a list. It takes this package from where it is, and nothing else from there. Raises
    `FileNotFoundError`."""
    place = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return [_interpreter(), *_interpreter_flags(), "-c", _START, place]


def _interpreter():
    """The interpreter's path: programs that have another one inside of them tell it to multiprocessing."""
    spawn = sys.modules.get("multiprocessing.spawn")
    path = sys.executable if spawn is None else spawn.get_executable()
    if not path:
        raise FileNotFoundError("sys.executable is empty; multiprocessing.set_executable(PATH) says which Python workers run")
    return os.fsdecode(path)


def _interpreter_flags():
    """The options of this interpreter, for another one."""
    if not (any(getattr(sys.flags, name, 0) for name in _FLAGS) or sys.warnoptions or getattr(sys, "_xoptions", None)):
        return ["-B"] if sys.flags.dont_write_bytecode else []
    from subprocess import _args_from_interpreter_flags  # type: ignore[attr-defined]

    return _args_from_interpreter_flags()


def gather():
    """What `multiprocessing.spawn` tells its children, and a little more. Raises `NoGuard` in a process that is
    itself just importing its client's main module: the script lacks `if __name__ == "__main__"`."""
    if _LazyMain.loading:
        raise NoGuard
    process = sys.modules.get("multiprocessing.process")
    if process is None:
        data = _gather_without_multiprocessing()
    else:
        from multiprocessing import spawn

        data = spawn.get_preparation_data("SpawnProcess")
        data["authkey"] = bytes(data["authkey"])  # its own type refuses to be pickled
    data["sys_path"] = list(data["sys_path"])
    data["sys_argv"] = list(data["sys_argv"])
    data["parent"] = "MainProcess" if process is None else process.current_process().name, os.getpid()
    return data


def _gather_without_multiprocessing():
    """The same in a program that has not imported it, and need not for this: that takes as long as a worker's own part of
    its start. If it does later, it finds the key that workers have."""
    from ._agent import directory

    global _authkey
    if _authkey is None:
        _authkey = os.urandom(32)
        sys.meta_path.insert(0, _AfterImport({"multiprocessing.process": _set_authkey}))
    data = {
        "name": "SpawnProcess",
        "authkey": _authkey,
        "sys_path": [path or directory or path for path in sys.path],
        "sys_argv": sys.argv,
        "orig_dir": directory,
    }
    try:
        data["dir"] = os.getcwd()
    except OSError:
        pass  # it is gone
    main = sys.modules["__main__"]
    sys.modules.setdefault("__mp_main__", main)  # as its import does: workers know the classes of this program by that name
    name = getattr(getattr(main, "__spec__", None), "name", None)
    path = getattr(main, "__file__", None)
    if name is not None:
        data["init_main_from_name"] = name
    elif path is not None:
        data["init_main_from_path"] = os.path.normpath(os.path.join(directory or "", path))
    return data


def _set_authkey(module):
    module.current_process().authkey = _authkey


def main_can_be_imported():
    """Whether workers can make this process's main module, or what is defined in it has to travel by value."""
    main = sys.modules["__main__"]
    name = getattr(getattr(main, "__spec__", None), "name", None)
    if name:
        # `multiprocessing` does not run a package's `__main__` again, which would start the program once more.
        return name != "__main__" and not name.endswith(".__main__")
    path = getattr(main, "__file__", None)
    if path is None:
        return False
    from ._agent import directory

    return _is_program(os.path.join(directory or "", path))


def by_value():
    """What travels by value from this program, as `_payload.dumps` is told."""
    return True if main_can_be_imported() else "main"


def has_main():
    """Whether this worker can make its client's main module."""
    return bool(_LazyMain._kept)


def _is_program(path):
    """Whether there is a file to be run again. What a shell hands on (`/dev/stdin`, `<(…)`) has been read, and is another
    thing in another process."""
    return path is not None and os.path.isfile(path) and not path.startswith(("/dev/", "/proc/"))


# ---- In the worker


def apply(data, neighbour, number):
    """Puts it in place. `number` is the worker's own in its pool."""
    sys.path = data.get("sys_path", sys.path)
    sys.argv = data.get("sys_argv", sys.argv)
    if "dir" in data:
        try:
            os.chdir(data["dir"])
        except OSError:
            pass  # it is gone, and then so it is for the client
    hooks = {
        "multiprocessing.process": lambda module: _set_up_process(module, data, number),
        "multiprocessing.context": lambda module: _set_up_context(module, data),
        "multiprocessing.util": lambda module: _set_up_logging(module, data),
    }
    if neighbour is not None:
        hooks["multiprocessing.resource_tracker"] = lambda module: _set_up_tracker(module, neighbour)
    for name in list(hooks):
        if name in sys.modules:
            hooks.pop(name)(sys.modules[name])
    sys.meta_path.insert(0, _AfterImport(hooks))
    _LazyMain.put_in_place(data)


def is_loading_main():
    """Whether this worker is just running its client's main module."""
    return _LazyMain.loading


class _AfterImport:
    """A finder that finds nothing by itself, and calls a function when one of some modules has been imported."""

    def __init__(self, hooks):
        self._hooks = hooks

    def find_spec(self, name, path=None, target=None):
        hook = self._hooks.pop(name, None)
        if hook is None:
            return None
        for finder in list(sys.meta_path):
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                if not self._hooks:
                    sys.meta_path.remove(self)  # now: the caller's loop over it ends here
                return self._with_hook(spec, spec.loader, hook)
        return None

    @staticmethod
    def _with_hook(spec, loader, hook):
        execute = loader.exec_module

        def exec_module(module):
            execute(module)
            hook(module)

        loader.exec_module = exec_module
        return spec


def _set_up_process(module, data, number):
    me = module.current_process()
    me.name = "%s-%d" % (data.get("name", "SpawnProcess"), number + 1)
    me._identity = (number + 1,)  # names and numbers children, and programs ask it which worker they are in
    if "authkey" in data:
        me.authkey = data["authkey"]
    module.ORIGINAL_DIR = data.get("orig_dir", module.ORIGINAL_DIR)
    if _LazyMain.loading:
        me._inheriting = True
    if "parent" in data and hasattr(module, "_ParentProcess"):
        name, pid = data["parent"]
        try:
            sentinel = os.pidfd_open(pid)
        except (AttributeError, OSError):
            # An older Python or kernel, or another machine. The parent's end is this process's too: as long as anybody looks
            # it lives, as this descriptor says.
            sentinel, _ = os.pipe()
        module._parent_process = module._ParentProcess(name, pid, sentinel)


def _set_up_context(module, data):
    default = module._default_context
    if default._actual_context is None:
        default._actual_context = module._concrete_contexts.get(data.get("start_method"))


def _set_up_logging(module, data):
    if data.get("log_to_stderr"):
        module.log_to_stderr()
    if "log_level" in data:
        module.get_logger().setLevel(data["log_level"])


def _set_up_tracker(module, neighbour):
    """The client's tracker takes care of what this worker registers. One of the worker's own would remove shared memory that
    others still use when this worker ends. The client's may start later than this: it is looked for at each first use."""
    tracker = module._resource_tracker

    def with_tracker_of_client(method):
        def call(*args):
            if tracker._fd is None:
                tracker._fd = neighbour.tracker()
            return method(*args)

        return call

    # Everything goes through these two in all versions of Python so far; what is not there is not missed.
    for name in ("_send", "ensure_running"):
        method = getattr(tracker, name, None)
        if method is not None:
            setattr(tracker, name, with_tracker_of_client(method))
    module.ensure_running = tracker.ensure_running


class _LazyMain(ModuleType):
    """Stands for the client's main module, and runs it when something of it is looked for. As with multiprocessing it runs
    under the name `__mp_main__`, so that its own main part does not."""

    loading = False
    _kept: "list[ModuleType | None]" = []  # the module that was there before: its variables must not go away

    @classmethod
    def put_in_place(cls, data):
        name, path = data.get("init_main_from_name"), data.get("init_main_from_path")
        if name is not None:
            if name == "__main__" or name.endswith(".__main__"):
                return  # such modules have no main part to be left out
        elif not _is_program(path) or os.path.splitext(os.path.basename(path))[0] == "ipython":
            return
        main = cls("__main__")
        main.__dict__["_source"] = name, path
        if path is not None:
            main.__file__ = path
        cls._kept.append(sys.modules.get("__main__"))
        sys.modules["__main__"] = sys.modules["__mp_main__"] = main

    def __getattr__(self, attribute):
        if attribute.startswith("__") or self.__dict__.get("_source") is None:
            raise AttributeError("module '__main__' has no attribute %r" % attribute)
        self._load()
        return getattr(sys.modules["__main__"], attribute)

    def _load(self):
        import runpy

        name, path = self.__dict__["_source"]
        self.__dict__["_source"] = None  # what it does itself finds an empty module
        _LazyMain.loading = True
        process = sys.modules.get("multiprocessing.process")
        if process is not None:
            process.current_process()._inheriting = True  # starting processes now is refused, with an explanation
        try:
            if name is not None:
                content = runpy.run_module(name, run_name="__mp_main__", alter_sys=True)
            else:
                content = runpy.run_path(path, run_name="__mp_main__")
        except BaseException:
            self.__dict__["_source"] = name, path  # the next job is told the same
            raise
        finally:
            _LazyMain.loading = False
            process = sys.modules.get("multiprocessing.process")
            if process is not None and hasattr(process.current_process(), "_inheriting"):
                del process.current_process()._inheriting
        main = ModuleType("__mp_main__")
        main.__dict__.update(content)
        sys.modules["__main__"] = sys.modules["__mp_main__"] = main
