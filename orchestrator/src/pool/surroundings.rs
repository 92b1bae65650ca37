//! What a worker is born into: environment variables and limits.

use std::ffi::OsString;

use super::{PoolConfig, ThreadsPerJob, usable_cpus};

/// By these, libraries for computing learn how many threads to start: OpenMP,
/// OpenBLAS, MKL, BLIS, NumExpr, Numba, rayon.
const THREADS: [&str; 7] = [
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",
];

/// By this, jobs know their slot: a number from 1 that no other job has that runs at the same time.
const SLOT: &str = "ORCHESTRATOR_SLOT";

/// What the worker of a seat, from 0, has in its environment beside what it inherits, or instead of it.
/// `is_set` knows what it inherits: who has set such a variable knows better.
pub(super) fn environment(
    config: &PoolConfig,
    seat: usize,
    is_set: impl Fn(&str) -> bool,
) -> Vec<(OsString, OsString)> {
    let threads = match config.threads_per_job {
        ThreadsPerJob::Inherit => None,
        ThreadsPerJob::Exactly(threads) => Some(threads),
        ThreadsPerJob::Share => {
            let here = config.workers.saturating_sub(config.agents.len()).max(1);
            Some((usable_cpus() / here).max(1))
        }
    };
    let mut all = Vec::new();
    if let Some(threads) = threads {
        let unset = THREADS.into_iter().filter(|name| !is_set(name));
        all.extend(unset.map(|name| (name.into(), threads.to_string().into())));
    }
    // Behind the others: the later one counts.
    all.extend(config.launch.env.iter().cloned());
    all.push((SLOT.into(), (seat + 1).to_string().into()));
    if let Some(name) = &config.slot_variable {
        all.push((name.clone(), seat.to_string().into()));
    }
    if let Some(name) = &config.slot_variable_from_1 {
        all.push((name.clone(), (seat + 1).to_string().into()));
    }
    all
}

/// Whether a program says with this line, before it aborts, that it got no
/// memory: in Rust "memory allocation of 64 bytes failed", in C++ "terminate called
/// after throwing an instance of 'std::bad_alloc'". Programs that say something
/// else, or nothing, or carry on, are not recognised.
pub(super) fn tells_of_no_memory(line: &[u8]) -> bool {
    let size = line.strip_prefix(b"memory allocation of ");
    if let Some(size) = size.and_then(|rest| rest.strip_suffix(b" bytes failed")) {
        return !size.is_empty() && size.iter().all(u8::is_ascii_digit);
    }
    line.starts_with(b"terminate called after throwing") && line.ends_with(b"'std::bad_alloc'")
}

#[cfg(test)]
mod tests {
    use super::super::Launch;
    use super::*;

    fn config(threads: ThreadsPerJob) -> PoolConfig {
        let mut config = PoolConfig::new(Launch::program("/w"));
        config.threads_per_job = threads;
        config
    }

    #[test]
    fn threads_are_told_unless_somebody_has_already() {
        let set = |name: &str| name == "OMP_NUM_THREADS";
        let all = environment(&config(ThreadsPerJob::Exactly(3)), 0, set);
        let (slot, all) = all.split_last().unwrap();
        assert_eq!(*slot, (SLOT.into(), "1".into()));
        assert_eq!(all.len(), THREADS.len() - 1);
        assert!(
            all.iter()
                .all(|(name, n)| name != "OMP_NUM_THREADS" && n == "3")
        );
        let inherited = environment(&config(ThreadsPerJob::Inherit), 6, set);
        assert_eq!(inherited, [(SLOT.into(), "7".into())]);
        let mut named = config(ThreadsPerJob::Inherit);
        named.slot_variable = Some("FROM_0".into());
        named.slot_variable_from_1 = Some("FROM_1".into());
        let all = environment(&named, 6, set);
        assert_eq!(all[1], ("FROM_0".into(), "6".into()));
        assert_eq!(all[2], ("FROM_1".into(), "7".into()));
    }

    #[test]
    fn workers_share_the_cpus_and_each_has_at_least_one() {
        let share = |workers| {
            let mut config = config(ThreadsPerJob::Share);
            config.workers = workers;
            environment(&config, 0, |_| false)[0].1.clone()
        };
        assert_eq!(share(1), usable_cpus().to_string().as_str());
        assert_eq!(share(usable_cpus()), "1");
        assert_eq!(share(1_000_000), "1");
    }

    #[test]
    fn what_the_launch_says_comes_last() {
        let mut config = config(ThreadsPerJob::Exactly(3));
        config.launch.env = vec![("RAYON_NUM_THREADS".into(), "7".into())];
        let all = environment(&config, 0, |_| false);
        assert_eq!(all[all.len() - 2], config.launch.env[0]);
    }

    #[test]
    fn the_last_words_of_two_languages_are_known() {
        assert!(tells_of_no_memory(
            b"memory allocation of 1073741824 bytes failed"
        ));
        assert!(tells_of_no_memory(
            b"terminate called after throwing an instance of 'std::bad_alloc'"
        ));
        assert!(!tells_of_no_memory(
            b"memory allocation of all bytes failed"
        ));
        assert!(!tells_of_no_memory(b"memory allocation of  bytes failed"));
        assert!(!tells_of_no_memory(
            b"Error: memory allocation of 1 bytes failed"
        ));
        assert!(!tells_of_no_memory(b""));
    }
}
