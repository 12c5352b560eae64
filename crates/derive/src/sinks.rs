//! Functions whose effect reaches beyond the process's memory, by name.

/// The effect of calling `name`, in the words of the dangerous list.
pub fn sink(name: &str) -> Option<&'static str> {
    let exact = |names: &[&str]| names.contains(&name);
    let below = |prefixes: &[&str]| prefixes.iter().any(|p| name.starts_with(p));
    if exact(&[
        "os.system",
        "os.popen",
        "os.fork",
        "os.forkpty",
        "os.startfile",
        "os.kill",
        "pty.spawn",
        "platform.popen",
    ]) || below(&[
        "subprocess.",
        "os.exec",
        "os.spawn",
        "os.posix_spawn",
        "popen2.",
        "commands.",
        "asyncio.create_subprocess",
    ]) {
        return (!exact(&[
            "subprocess.CalledProcessError",
            "subprocess.SubprocessError",
            "subprocess.TimeoutExpired",
        ]))
        .then_some("process");
    }
    if exact(&["builtins.eval", "builtins.exec", "builtins.compile", "types.FunctionType", "types.CodeType"])
        || below(&["runpy.", "code.interact", "code.Interactive", "timeit.timeit", "timeit.repeat"])
    {
        return Some("code");
    }
    if below(&["ctypes.CDLL", "ctypes.PyDLL", "ctypes.cdll.", "ctypes.windll."]) {
        return Some("native");
    }
    if exact(&[
        "urllib.request.urlopen",
        "urllib.request.urlretrieve",
        "urllib.urlopen",
        "urllib.urlretrieve",
    ]) || below(&[
        "requests.",
        "socket.socket",
        "socket.create_",
        "http.client.HTTP",
        "ftplib.FTP",
        "smtplib.SMTP",
        "webbrowser.",
    ]) {
        return Some("network");
    }
    if exact(&[
        "os.remove",
        "os.unlink",
        "os.rmdir",
        "os.removedirs",
        "os.rename",
        "os.renames",
        "os.replace",
        "os.truncate",
        "os.chmod",
        "os.chown",
        "os.symlink",
        "os.link",
        "os.mkdir",
        "os.makedirs",
        "shutil.rmtree",
        "shutil.move",
        "shutil.copy",
        "shutil.copy2",
        "shutil.copyfile",
        "shutil.copytree",
        "shutil.make_archive",
        "shutil.unpack_archive",
        "tempfile.mkdtemp",
        "tempfile.mkstemp",
        "tempfile.NamedTemporaryFile",
    ]) {
        return Some("file");
    }
    if exact(&[
        "pickle.load",
        "pickle.loads",
        "pickle.Unpickler",
        "cPickle.load",
        "cPickle.loads",
        "marshal.load",
        "marshal.loads",
        "shelve.open",
        "joblib.load",
        "torch.load",
        "dill.load",
        "dill.loads",
        "cloudpickle.load",
        "cloudpickle.loads",
        "pandas.read_pickle",
    ]) {
        return Some("deserialise");
    }
    if exact(&["sys.exit", "os._exit", "os.abort", "builtins.exit", "builtins.quit"]) {
        return Some("state");
    }
    None
}
