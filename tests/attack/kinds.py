"""The kinds of attack, and the tests of each: those of `make attack` and those of every run of the tests."""

KINDS: dict[str, tuple[str, ...]] = {
    "identity": (
        "tests/datasets/test_subjects.py",
        "tests/corpus/test_evidence.py",
        "tests/corpus/test_copies.py",
        "tests/signals/test_fif_parts.py",
    ),
    "metadata": (
        "tests/datasets/test_bids_sidecars.py",
        "tests/datasets/test_laboratories.py",
        "tests/corpus/test_bad_spans.py",
        "tests/signals/test_readers_edf_headers.py",
        "tests/signals/test_readers_names.py",
        "tests/signals/test_header_text.py",
    ),
    "no-value": (
        "tests/signals/test_readers_missing.py",
        "tests/corpus/test_gaps_unknown.py",
        "tests/signals/test_time_stamps.py",
        "tests/corpus/test_absurd_amplitudes.py",
    ),
    "unread-formats": ("tests/signals/test_unsupported_names.py",),
    "generators": ("tests/attack/test_given_cases.py",),
    "fuzz": (
        "tests/attack/test_fuzz.py",
        "tests/corpus/test_hostile_generated.py",
        "tests/corpus/test_hostile.py::test_every_hostile_file_becomes_what_is_stated",
        "tests/corpus/test_hostile.py::test_half_a_file_is_refused_or_gives_the_beginning_of_the_whole",
        "tests/signals/test_isolated_reader.py",
        "tests/signals/test_readers_formats.py::test_flipped_bytes_are_read_or_rejected_but_never_a_crash",
        "tests/signals/test_readers_text.py::test_flipped_bytes_are_read_or_rejected_but_never_a_crash",
        "tests/signals/test_readers_xdf.py::test_flipped_bytes_are_read_or_rejected_but_never_a_crash",
    ),
    "damage": (
        "tests/test_checksums.py",
        "tests/models/test_weights.py",
        "tests/pipelines/test_task_cache.py",
        "tests/store/test_s3.py::test_damaged_objects_are_found_and_removed",
        "tests/store/test_s3.py::test_a_damaged_object_is_found_by_its_checksum",
        "tests/store/test_store.py::test_damage_is_found_in_all_files_whatever_their_times_and_can_be_removed",
        "tests/store/test_store.py::test_damaged_codes_and_metadata_are_absent",
        "tests/store/test_store.py::test_damaged_patches_are_noticed_on_first_use_of_another_process",
        "tests/training/test_checkpoints.py::test_a_damaged_checkpoint_is_skipped_with_a_warning",
        "tests/training/test_loop.py::test_a_damaged_checkpoint_is_reported_and_the_previous_one_used",
    ),
    "bombs": (
        "tests/signals/test_readers_budgets.py",
        "tests/corpus/test_hostile.py::test_a_bomb_is_refused_in_little_memory",
        "tests/corpus/test_process_pool.py::test_a_task_beyond_its_time_or_memory_ends_and_no_other",
        "tests/corpus/test_process_pool.py::test_an_ingest_limits_each_recording",
        "tests/datasets/test_fetch.py::test_an_archive_that_unpacks_to_far_more_than_its_size_is_deleted",
        "tests/models/test_official.py::test_a_file_that_states_the_impossible_is_refused",
        "tests/models/test_official.py::test_a_tensor_that_repeats_a_value_without_end_is_refused",
        "tests/models/test_official.py::test_an_archive_that_unpacks_to_more_than_its_size_is_refused",
        "tests/signals/test_readers_more_formats.py::test_compressed_files_that_are_damaged_or_bombs_are_refused",
        "tests/signals/test_readers_more_formats.py::test_nedf_whose_header_expands_is_refused",
    ),
    "pointers": (
        "tests/signals/test_pointers.py",
        "tests/corpus/test_outside.py",
        "tests/corpus/test_dvc_versions.py::test_a_link_out_of_the_corpus_is_refused_though_it_is_hidden",
        "tests/corpus/test_dvc_versions.py::test_a_link_out_of_the_folder_is_refused_before_anything_is_copied",
        "tests/datasets/test_fetch.py::test_a_list_that_names_places_outside_is_not_trusted",
    ),
    "kills": (
        "tests/attack/test_kills.py",
        "tests/corpus/test_process_pool.py::test_a_process_that_dies_takes_one_task_along",
        "tests/corpus/test_process_pool.py::test_a_recording_whose_process_is_killed_is_refused_and_all_others_are_done",
        "tests/corpus/test_process_pool.py::test_what_killed_processes_leave_is_deleted_by_the_next",
        "tests/pipelines/test_run.py::test_a_killed_run_goes_on_where_it_was",
        "tests/pipelines/test_run.py::test_a_run_killed_at_the_gate_is_not_taken_for_a_finished_one",
        "tests/registry/test_promotion_lock.py::test_the_lock_of_a_killed_process_is_broken_by_one_of_those_that_wait",
        "tests/store/test_store.py::test_a_writer_that_is_killed_leaves_no_entry",
        "tests/training/distributed/test_launchers.py::test_a_killed_process_ends_the_training_with_an_error_and_the_next_one_resumes",
        "tests/training/distributed/test_train_job.py::test_a_train_job_of_a_killed_launcher_is_deleted_first",
        "tests/training/distributed/test_train_job.py::test_a_training_with_a_preempted_node_resumes_at_its_step",
        "tests/training/test_loop.py::test_a_tokenizer_that_is_killed_and_terminated_ends_with_the_same_bits",
        "tests/training/test_preemption.py::test_killed_at_any_moment_it_ends_with_the_same_bits",
    ),
    "signals": (
        "tests/attack/test_signals.py",
        "tests/integration/test_bucket_artifacts.py::test_a_task_that_is_told_to_stop_is_waited_for",
        "tests/pipelines/test_warm_tasks.py::test_what_ends_a_process_also_ends_a_task",
        "tests/training/distributed/test_train_job.py::test_sigterm_to_the_launcher_deletes_its_train_job",
        "tests/training/test_loop.py::test_sigterm_within_a_step_abandons_it",
        "tests/training/test_preemption.py::test_the_second_sigterm_ends_at_once",
    ),
    "outages": (
        "tests/attack/test_outages.py",
        "tests/platform/test_kfp_client.py::test_a_server_that_is_busy_for_a_moment_is_asked_again",
        "tests/store/test_s3.py::test_a_server_that_is_down_is_a_store_error",
        "tests/tracking/test_metric_buffer.py",
        "tests/training/distributed/test_train_job.py::test_a_training_survives_an_outage_of_the_api_server",
    ),
    "full-disk": (
        "tests/corpus/test_hostile.py::test_a_full_disk_ends_the_run_with_one_sentence_and_leaves_no_halves",
        "tests/platform/test_workspace.py::test_a_line_of_events_that_a_full_disk_cut_short_is_skipped",
        "tests/store/test_store.py::test_a_full_disk_leaves_nothing_behind",
        "tests/test_system_errors.py",
        "tests/training/test_checkpoints.py::test_a_full_disk_leaves_earlier_checkpoints_intact",
        "tests/training/test_loop.py::test_a_full_disk_does_not_stop_training",
        "tests/training/test_loop.py::test_a_temporarily_full_disk_costs_only_checkpoints",
    ),
    "races": (
        "tests/attack/test_races.py",
        "tests/corpus/test_local_ingest.py::test_processes_that_do_not_know_of_each_other_do_no_harm",
        "tests/corpus/test_local_ingest.py::test_two_processes_with_one_corpus_do_its_work_once",
        "tests/registry/test_promotion.py::test_of_promotions_at_the_same_time_one_wins_and_the_others_are_told",
        "tests/registry/test_promotion_lock.py::test_of_eight_pods_with_their_own_tmp_one_moves_the_champion",
        "tests/registry/test_promotion_lock.py::test_of_eight_promotions_against_a_server_one_moves_the_champion",
        "tests/store/test_s3.py::test_several_writers_do_each_other_no_harm",
    ),
}
"""By kind: test files, and single tests of files that have others too."""


def kind_of(test: str) -> str:
    """Return the kind of a test by its name, such as ``tests/a.py::TestB::test_c[d]``; empty if it has none."""
    file, _, name = test.partition("[")[0].partition("::")
    listed = (file, f"{file}::{name}")
    return next((kind for kind, tests in KINDS.items() if any(each in tests for each in listed)), "")
