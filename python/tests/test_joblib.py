"""The joblib backend, where joblib is installed; with scikit-learn, where that is."""

import importlib.util
import os
import unittest

from executor_case import ExecutorCase
import executor_jobs as jobs

if importlib.util.find_spec("joblib") is None:
    raise unittest.SkipTest("joblib is not installed")

import joblib

import orchestrator.joblib
from orchestrator import WorkerDied

orchestrator.joblib.register()


class JoblibTest(ExecutorCase):
    def run_all(self, calls, **options):
        with joblib.parallel_config("orchestrator", **{"n_jobs": 2, **options}):
            return joblib.Parallel()(calls)

    def test_results_come_in_order(self):
        numbers = self.run_all(joblib.delayed(jobs.echo)(n) for n in range(5000))
        self.assertEqual(numbers, list(range(5000)))

    def test_results_of_a_generator(self):
        with joblib.parallel_config("orchestrator", n_jobs=2):
            found = joblib.Parallel(return_as="generator")(joblib.delayed(jobs.echo)(n) for n in range(50))
            self.assertEqual(list(found), list(range(50)))

    def test_work_is_done_in_workers_that_are_kept(self):
        first = set(self.run_all([joblib.delayed(jobs.pid)() for _ in range(8)]))
        second = set(self.run_all([joblib.delayed(jobs.pid)() for _ in range(8)]))
        self.assertNotIn(os.getpid(), first | second)
        self.assertLessEqual(len(first | second), 2)

    def test_exceptions_arrive_and_the_next_call_works(self):
        with self.assertRaisesRegex(ValueError, "on purpose"):
            self.run_all([joblib.delayed(jobs.fail)()] + [joblib.delayed(jobs.echo)(n) for n in range(50)])
        with self.assertRaises(WorkerDied):
            self.run_all([joblib.delayed(jobs.die)("os._exit")] + [joblib.delayed(jobs.echo)(n) for n in range(50)])
        self.assertEqual(self.run_all([joblib.delayed(jobs.echo)(1)]), [1])

    def test_options_of_the_pool(self):
        found = self.run_all([joblib.delayed(jobs.crash_unless)(self.path("first"))], retries=1)
        self.assertEqual(found, ["second"])

    def test_threads_of_libraries_are_limited(self):
        seen = self.run_all([joblib.delayed(jobs.environment)("OMP_NUM_THREADS")], inner_max_num_threads=3)
        self.assertEqual(seen, ["3"])

    def test_calls_within_calls(self):
        self.assertEqual(self.run_all([joblib.delayed(_nested)(n) for n in range(4)]), [[n, n + 1] for n in range(4)])

    @unittest.skipIf(importlib.util.find_spec("sklearn") is None, "scikit-learn is not installed")
    def test_a_grid_search_finds_what_it_finds_alone(self):
        from sklearn.datasets import load_digits
        from sklearn.model_selection import GridSearchCV
        from sklearn.svm import SVC

        x, y = load_digits(return_X_y=True)
        grid = {"C": [0.1, 1, 10], "gamma": [0.001, 0.01]}
        alone = GridSearchCV(SVC(), grid, n_jobs=1).fit(x[:400], y[:400])
        with joblib.parallel_config("orchestrator"):
            search = GridSearchCV(SVC(), grid, n_jobs=2).fit(x[:400], y[:400])
        self.assertEqual(search.best_params_, alone.best_params_)
        self.assertEqual(list(search.cv_results_["mean_test_score"]), list(alone.cv_results_["mean_test_score"]))


def _nested(number):
    return joblib.Parallel(n_jobs=2)(joblib.delayed(jobs.add)(number, more) for more in range(2))


if __name__ == "__main__":
    unittest.main()
