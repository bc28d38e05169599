"""Write the digits task (questions about real handwritten digits) as parquet files in verl's schema.

    python data_preprocess/handwritten_digits.py --local_save_dir ~/data/digits

writes train.parquet, test.parquet and judge_test.parquet (a fixed, balanced, held-out validation set for the judge),
with --unlabelled_size also unlabelled.parquet (for spark.self_reward.files), and example.png and example.txt, one test
question to try with run_scripts/ask.sh.
Nothing is downloaded: scikit-learn ships the digits.
"""

from __future__ import annotations

import argparse

from spark_verl.digits.dataset import write_files


def main() -> None:
    """Parse the command line and write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--local_save_dir", required=True, help="folder for the parquet files")
    parser.add_argument("--train_size", type=int, default=4000, help="training questions")
    parser.add_argument("--test_size", type=int, default=300, help="test questions")
    parser.add_argument("--unlabelled_size", type=int, default=0, help="training questions without ground truth")
    parser.add_argument("--seed", type=int, default=0, help="fixes every row")
    args = parser.parse_args()
    files = write_files(args.local_save_dir, args.train_size, args.test_size, args.seed, args.unlabelled_size)
    for name, path in files.items():
        print(f"{name}: {path}")


if __name__ == "__main__":
    main()
