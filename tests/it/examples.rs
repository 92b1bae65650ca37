//! The examples of the library, run.

use orchestrator_tests::TestEnv;

fn example(env: &TestEnv, program: &str, args: &[&str]) -> String {
    let mut command = env.command(program);
    command.args(args);
    let done = env.run(command, "");
    assert_eq!(done.code(), 0, "{}", done.stderr);
    env.no_process_left();
    done.stdout().to_owned()
}

/// What a step of `big_work` printed: its starts and ends.
fn steps(printed: &str) -> Vec<Vec<&str>> {
    let steps = printed.split("took").filter(|step| step.contains("start"));
    steps
        .map(|step| {
            let lines = step.lines().map(str::trim);
            lines
                .filter(|line| line.starts_with("start ") || line.starts_with("end "))
                .collect()
        })
        .collect()
}

#[test]
fn big_work_is_sequential_where_it_says_so_and_concurrent_where_it_says_so() {
    let env = TestEnv::new();
    let printed = example(&env, env!("CARGO_BIN_EXE_example-big-work"), &["0.2"]);
    let steps = steps(&printed);
    assert_eq!(steps.len(), 5, "{printed}");
    // In 1 and 2 each job ends before the next one starts.
    for step in &steps[..2] {
        for (place, event) in step.iter().enumerate() {
            let word = if place % 2 == 0 { "start" } else { "end" };
            assert_eq!(*event, format!("{word} {}", place / 2));
        }
    }
    // In 3 all have started before the first one ends, in 4 several, and in 5 as
    // many as there are CPUs.
    assert!(steps[2][..6].iter().all(|event| event.starts_with("start")));
    for step in &steps[3..] {
        let concurrent = |two: &[&str]| two.iter().all(|event| event.starts_with("start"));
        assert!(
            step.len() == 12 && step.windows(2).any(concurrent),
            "{step:?}"
        );
    }
}

#[test]
fn one_binary_counts_primes() {
    let env = TestEnv::new();
    let printed = example(&env, env!("CARGO_BIN_EXE_example-one-binary"), &[]);
    // The 148,933rd prime is the last one below 2,000,000.
    assert_eq!(printed, "148933 primes below 2,000,000\n");
}

#[test]
fn mandelbrot_writes_its_picture() {
    let env = TestEnv::new();
    let path = env.path().join("picture.pgm");
    let name = path.to_str().unwrap();
    let args = [name, "64"];
    example(&env, env!("CARGO_BIN_EXE_example-mandelbrot"), &args);
    let picture = std::fs::read(&path).unwrap();
    let pixels = picture.strip_prefix(b"P5\n64 48\n255\n").unwrap();
    assert_eq!(pixels.len(), 64 * 48);
    let rows: Vec<&[u8]> = pixels.chunks(64).collect();
    // The set is symmetric, and its inside is black.
    for y in 1..24 {
        assert_eq!(rows[24 - y], rows[24 + y]);
    }
    assert_eq!(rows[24][45], 0, "the origin");
    assert!(rows[0].iter().all(|&grey| grey > 0), "far outside");
}

#[test]
fn crash_and_carry_on_tells_every_reason_and_does_the_rest() {
    let env = TestEnv::new();
    let program = env!("CARGO_BIN_EXE_example-crash-and-carry-on");
    let printed = example(&env, program, &[]);
    let ends = [
        ("1 ", "1"),
        ("two", "job failed: invalid digit found in string"),
        ("panic", "job panicked: as I was told (at "),
        ("abort", "job crashed: its worker was killed by SIGABRT"),
        ("exit", "job crashed: its worker ended with status 3"),
        ("overflow", "job crashed: its worker was killed by SIGABRT"),
        ("hang", "job timed out after 500ms"),
        ("7 ", "7"),
    ];
    for (order, end) in ends {
        let line = printed
            .lines()
            .find(|line| line.starts_with(order))
            .unwrap();
        assert!(line[20..].trim_start().starts_with(end), "{line}");
    }
    assert!(printed.ends_with("4 workers have died, and were replaced\n"));
}
