//! GNU parallel, read by Perl once and not for each command line: see `Warm.pm`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock};
use std::thread;

use orchestrator_tests::{Done, TestEnv};

/// Waits to be copied.
struct Warm {
    _child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// Those that nobody uses at the moment; the end of this process is theirs.
static IDLE: Mutex<Vec<Warm>> = Mutex::new(Vec::new());

/// What [`TestEnv::run`] does with a command of `parallel` that gets these arguments.
pub(super) fn run(env: &TestEnv, command: &Command, words: &[OsString], stdin: &[u8]) -> Done {
    let idle = IDLE.lock().unwrap().pop();
    let mut warm = idle.unwrap_or_else(Warm::start);
    let done = warm.run(env, &request(env, command, words), stdin);
    IDLE.lock().unwrap().push(warm);
    done
}

/// What a request says behind its files.
fn request(env: &TestEnv, command: &Command, words: &[OsString]) -> Vec<OsString> {
    let mut variables: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => variables.insert(name.into(), value.into()),
            None => variables.remove(name),
        };
    }
    let mut fields = vec![env.path().into(), words.len().to_string().into()];
    fields.extend_from_slice(words);
    let variables = variables.iter();
    fields.extend(variables.map(|(name, value)| [&**name, value].join(OsStr::new("="))));
    fields
}

impl Warm {
    #[expect(
        clippy::disallowed_methods,
        reason = "it outlives the test that needs it first"
    )]
    fn start() -> Warm {
        let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("it/parallel");
        let mut child = Command::new("perl")
            .arg("-I")
            .arg(modules)
            .arg("-MWarm")
            .arg(program())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Warm {
            requests: child.stdin.take().unwrap(),
            answers: BufReader::new(child.stdout.take().unwrap()),
            _child: child,
        }
    }

    fn run(&mut self, env: &TestEnv, rest: &[OsString], stdin: &[u8]) -> Done {
        let (in_end, mut input) = pipe().unwrap();
        let (output, out_end) = pipe().unwrap();
        let (errors, err_end) = pipe().unwrap();
        let ours = |end: &dyn AsRawFd| -> OsString {
            format!("/proc/{}/fd/{}", std::process::id(), end.as_raw_fd()).into()
        };
        let mut fields = vec![env.life().path().into()];
        fields.extend([ours(&in_end), ours(&out_end), ours(&err_end)]);
        fields.extend_from_slice(rest);
        let request = fields.join(OsStr::new("\0"));
        let length = format!("{:08}", request.len());
        self.requests.write_all(length.as_bytes()).unwrap();
        self.requests.write_all(request.as_bytes()).unwrap();
        assert_eq!(self.answer(), "open\n");
        drop::<(PipeReader, PipeWriter, PipeWriter)>((in_end, out_end, err_end));
        thread::scope(|scope| {
            // It may stop reading; that is its right.
            scope.spawn(move || input.write_all(stdin).ok());
            let stdout = scope.spawn(|| all(output));
            let stderr = scope.spawn(|| all(errors));
            let status = self.answer().trim().parse().unwrap();
            Done {
                status: ExitStatus::from_raw(status),
                stdout: stdout.join().unwrap(),
                stderr: String::from_utf8_lossy(&stderr.join().unwrap()).into_owned(),
            }
        })
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line
    }
}

fn all(mut pipe: PipeReader) -> Vec<u8> {
    let mut bytes = Vec::new();
    pipe.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Where it is: Perl does not look for it.
fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut all = std::env::split_paths(&path).map(|dir| dir.join("parallel"));
        all.find(|path| path.is_file()).unwrap()
    })
}
