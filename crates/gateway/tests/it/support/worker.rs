//! A scan worker for the gate's tests.

fn main() -> std::process::ExitCode {
    wb_sandbox::worker_main()
}
