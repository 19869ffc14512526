use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};

use super::super::child::OUTPUT_MAX;
use super::*;

/// Far more than any program here takes.
const LONG: Duration = Duration::from_secs(90);

struct Bench {
    dir: tempfile::TempDir,
    runner: Runner,
}

impl Bench {
    fn new(timeout: Duration) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), runner: Runner::new("c1", timeout) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A shell script.
    fn program(&self, script: &str) -> Program {
        let path = self.path("hook");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        Program::new(&path).unwrap()
    }

    fn begin(&self, program: &Program, input: &[u8]) -> (Number, Receiver<Result<Reply, RunError>>) {
        let (sender, receiver) = channel();
        let done = move |_, answer| drop(sender.send(answer));
        (self.runner.ask(program, input.to_vec(), Box::new(done)), receiver)
    }

    fn ask(&self, script: &str, input: &[u8]) -> Result<Reply, RunError> {
        self.begin(&self.program(script), input).1.recv_timeout(LONG).unwrap()
    }
}

/// Whether a process runs; one that has ended and that nobody waits for does not.
fn runs(process: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(process).join("stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

#[test]
fn a_program_gets_the_question_and_its_output_is_the_answer() {
    let bench = Bench::new(LONG);
    let question = vec![b'q'; 3 * OUTPUT_MAX];
    assert_eq!(bench.ask("wc -c", &question).unwrap(), Reply::Yes(format!("{}\n", question.len()).into_bytes()));
    assert_eq!(bench.ask("exit 0", &question).unwrap(), Reply::Yes(Vec::new()), "it need not read it");
    let environment = bench.ask("env; pwd", b"").unwrap();
    let Reply::Yes(environment) = environment else { panic!("{environment:?}") };
    let environment = String::from_utf8(environment).unwrap();
    let expected = |line: &&str| ["PATH=", "PWD=/", "_=", "/", "SHLVL=", "OLDPWD="].iter().any(|e| line.starts_with(e));
    assert!(environment.lines().all(|line| expected(&line)), "{environment}");
}

#[test]
fn exit_code_1_refuses_and_all_else_is_a_failure() {
    let bench = Bench::new(LONG);
    assert_eq!(bench.ask("echo not him >&2; echo second >&2; exit 1", b"").unwrap(), Reply::No("not him".into()));
    for (script, words) in [
        ("exit 2", "exit code 2"),
        ("kill -SEGV $$", "signal 11"),
        ("echo bad >&2; exit 127", "127, 0 or 1 was expected: bad"),
    ] {
        let error = bench.ask(script, b"").unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let program = bench.program("exit 0");
    fs::write(bench.path("hook"), "#!/nowhere/sh\n").unwrap();
    let error = bench.begin(&program, b"").1.recv_timeout(LONG).unwrap().unwrap_err();
    assert!(matches!(error, RunError::Start(_)), "{error}");
}

#[test]
fn too_much_output_is_a_failure_and_ends_the_program() {
    let bench = Bench::new(LONG);
    let exactly = format!("head -c {OUTPUT_MAX} /dev/zero");
    assert_eq!(bench.ask(&exactly, b"").unwrap(), Reply::Yes(vec![0; OUTPUT_MAX]));
    assert!(matches!(bench.ask("cat /dev/zero", b""), Err(RunError::TooMuch)));
    // What it says on standard error is bounded without being a failure.
    assert_eq!(bench.ask("head -c 1000000 /dev/zero >&2", b"").unwrap(), Reply::Yes(Vec::new()));
}

#[test]
fn a_program_that_hangs_is_killed_with_all_of_its_group() {
    let mut timeout = Duration::from_millis(200);
    loop {
        let bench = Bench::new(timeout);
        let script = format!("sleep 1000 & echo $! > {}; exec sleep 1000", bench.path("child").display());
        assert!(matches!(bench.ask(&script, b""), Err(RunError::TimedOut)));
        let child = fs::read_to_string(bench.path("child")).unwrap_or_default();
        if !child.trim().is_empty() {
            let end = Instant::now() + LONG;
            while runs(child.trim()) {
                assert!(Instant::now() < end, "its child still runs");
                thread::yield_now();
            }
            return;
        }
        // The machine was too slow for it to come so far.
        timeout *= 2;
        assert!(timeout < LONG, "it never started");
    }
}

#[test]
fn what_a_program_leaves_behind_does_not_hold_its_answer_up() {
    let bench = Bench::new(LONG);
    let script = "sleep 1000 & echo $!";
    let Reply::Yes(child) = bench.ask(script, b"").unwrap() else { panic!("it says yes") };
    let child = String::from_utf8(child).unwrap();
    let end = Instant::now() + LONG;
    while runs(child.trim()) {
        assert!(Instant::now() < end, "it still runs");
        thread::yield_now();
    }
}

#[test]
fn a_thousand_questions_at_once_are_all_answered_by_a_few_programs_at_a_time() {
    let bench = Bench::new(LONG);
    let running = bench.path("running");
    fs::create_dir(&running).unwrap();
    // Each says how many it saw.
    let script = format!(": > {0}/$$; set -- {0}/*; echo $#; rm {0}/$$", running.display());
    let program = bench.program(&script);
    let answers: Vec<_> = (0..1000).map(|_| bench.begin(&program, b"x").1).collect();
    for answer in answers {
        let Reply::Yes(seen) = answer.recv_timeout(LONG).unwrap().unwrap() else { panic!("it says yes") };
        let seen: usize = String::from_utf8(seen).unwrap().trim().parse().unwrap();
        assert!((1..=AT_ONCE).contains(&seen), "{seen} ran at once");
    }
}

#[test]
fn the_line_is_bounded_and_who_waits_in_it_waits_no_longer_than_the_timeout() {
    let bench = Bench::new(Duration::from_millis(300));
    let program = bench.program("exec sleep 1000");
    let answers: Vec<_> = (0..AT_ONCE + LINE_MAX + 10).map(|_| bench.begin(&program, b"").1).collect();
    let errors: Vec<RunError> = answers.iter().map(|a| a.recv_timeout(LONG).unwrap().unwrap_err()).collect();
    assert!(errors.iter().any(|e| matches!(e, RunError::LineFull)));
    assert!(errors.iter().all(|e| matches!(e, RunError::LineFull | RunError::TimedOut)), "{errors:?}");
    assert_eq!(bench.runner.shared.lock().line.len(), 0);
}

#[test]
fn a_question_that_is_withdrawn_is_not_asked() {
    let bench = Bench::new(LONG);
    let gate = bench.path("gate");
    let program = bench.program(&format!("while ! test -e {}; do sleep 0.01; done", gate.display()));
    let busy: Vec<_> = (0..AT_ONCE).map(|_| bench.begin(&program, b"").1).collect();
    let end = Instant::now() + LONG;
    while !bench.runner.shared.lock().line.is_empty() {
        assert!(Instant::now() < end, "all are asked at once");
        thread::yield_now();
    }
    let (number, answer) = bench.begin(&program, b"");
    bench.runner.withdraw(number);
    fs::write(gate, "").unwrap();
    assert!(busy.iter().all(|answer| answer.recv_timeout(LONG).unwrap().is_ok()));
    assert!(answer.recv_timeout(LONG).is_err(), "there is no answer");
}

#[test]
fn at_the_end_programs_are_killed_and_nothing_more_is_asked() {
    let bench = Bench::new(LONG);
    let (up, program) = (bench.path("hook.up"), "echo $$ > $0.new; mv $0.new $0.up; exec sleep 1000");
    let program = bench.program(program);
    let answer = bench.begin(&program, b"").1;
    let end = Instant::now() + LONG;
    while !up.exists() {
        assert!(Instant::now() < end, "it starts");
        thread::yield_now();
    }
    bench.runner.stop();
    let error = answer.recv_timeout(LONG).unwrap().unwrap_err();
    // It may run before its runner has noted that it does.
    assert!(error.to_string().contains("signal 9") || matches!(error, RunError::Stopped), "{error}");
    let process = fs::read_to_string(up).unwrap();
    while runs(process.trim()) {
        assert!(Instant::now() < end, "it is killed");
        thread::yield_now();
    }
    assert!(matches!(bench.begin(&program, b"").1.recv_timeout(LONG).unwrap(), Err(RunError::Stopped)));
}
