#![no_main]

orchestrator_fuzz::target!(run_file);
