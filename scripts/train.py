"""Train a PosterCLIP on a catalogue: `python scripts/train.py scripts/configs/posterclip.yaml --catalogue FOLDER`."""

import json
from pathlib import Path

from scripts.common.command_line import USER_ERRORS, CatalogueArguments, parse, quiet_libraries, stop
from scripts.common.run_settings import ModelArguments, RunArguments, SplitArguments, StreamArguments, check_settings


def main(arguments: list[str] | None = None) -> None:
    """Trains, saves and records one run."""
    quiet_libraries()
    data, splits, stream, architecture, run = parse(
        (CatalogueArguments, SplitArguments, StreamArguments, ModelArguments, RunArguments),
        arguments,
        description=__doc__,
    )
    from transformers import set_seed

    from modeling.training.argument_checks import resume_point
    from modeling.training.trainer import PosterCLIPTrainer
    from processing.data.collation import MoviePairs, PairCollator
    from processing.evaluation.retrieval import trainer_metrics
    from processing.reporting.results import write_results
    from scripts.common.features import add_features
    from scripts.common.matching.matcher import Matcher
    from scripts.common.matching.matcher_fitting import fit_matcher
    from scripts.common.progress import show_progress
    from scripts.common.training_data import load_data, open_streams
    from scripts.common.training_record import RECORD

    try:
        check_settings(splits, stream, architecture, run)
        checkpoint = resume_point(run.resume_from_checkpoint, run.output_dir)
        set_seed(run.seed)
        model, processor = architecture.build()
        if stream.streaming:
            movies = open_streams(data, splits, stream, run, model, processor)
        else:
            movies = load_data(data, splits, run, model, processor)
        if movies.eval_pairs and (line := run.use_loss_if_pool_is_small(len(movies.eval_pairs))):
            movies.summary.append(line)
        if isinstance(movies.pairs, MoviePairs) and model.config.char_ngram_dim and not architecture.model_name_or_path:
            model.char_ngrams.fit(processor.tokenizer, [plot for plots in movies.pairs.plots for plot in plots])
        trainer = PosterCLIPTrainer(
            model,
            run,
            data_collator=PairCollator(processor),
            train_dataset=movies.pairs,
            eval_dataset=movies.eval_pairs,
            processing_class=processor,
            compute_metrics=trainer_metrics,
            chunk_size=run.chunk_size,
            layer_decay=run.layer_decay,
            genre_weight=run.genre_weight,
        )
        show_progress(trainer)
        Path(run.output_dir).mkdir(parents=True, exist_ok=True)
    except USER_ERRORS as error:
        stop(error)

    main_process = trainer.is_world_process_zero()
    if main_process:
        print(*movies.summary, sep="\n")
    try:
        for part in (movies.pairs, movies.eval_pairs):
            if isinstance(part, MoviePairs) and run.feature_cache != "none":
                add_features(part, trainer, processor, run.feature_cache)
        done = trainer.train(resume_from_checkpoint=checkpoint)
    except (FloatingPointError, OSError, ValueError) as error:
        stop(error)
    trainer.save_model()
    trainer.save_state()
    record = movies.record(trainer, splits, architecture.model_name_or_path)
    if main_process:
        record |= {
            "model": vars(architecture),
            "config": json.loads(model.config.to_json_string()),
            "arguments": run.to_sanitized_dict(),
            "seconds": done.metrics["train_runtime"],
            "best_metric": trainer.state.best_metric,
            "log": trainer.state.log_history,
        }
        write_results(Path(run.output_dir) / RECORD, record)
        if isinstance(movies.pairs, MoviePairs) and model.config.use_poster_text:
            matcher = Matcher(trainer.clip, processor, cache=run.feature_cache)
            held_out = movies.eval_pairs.movies if movies.eval_pairs else None
            print(fit_matcher(matcher, movies.pairs.movies, held_out, run.seed))
            matcher.save(Path(run.output_dir))
    if run.push_to_hub:
        trainer.push_to_hub()
    trainer.leave_process_group()
    if main_process:
        best = trainer.state.best_global_step if run.load_best_model_at_end else None
        which = f", that of step {best} of {trainer.state.global_step}" if best else ""
        print(f"The model is in {run.output_dir}{which}")
        print(f"Evaluate it: python scripts/evaluate.py {run.output_dir} --catalogue {data.catalogue}")


if __name__ == "__main__":
    main()
