"""Labels that look like EEG and are no electrode of the model."""

from labram.signals.lost_channels import lost_channels


def test_every_label_counts_that_is_not_known_to_be_something_else():
    labels = ("EEG Fp1-Ref", "Ch1", "F3-C3", "EEG 20-REF", "AFF1h")
    assert lost_channels(labels) == labels[1:]


def test_other_signals_ears_and_eyes_are_no_loss():
    others = "X|nd|ECG ECG|EEG EKG1-REF|EEG A2-A1|Right AUX|Status|E1-M2|E2|EOG|SaO2|DC1|PHOTIC-REF||Resp|EMG chin"
    assert lost_channels(("Fp1", *others.split("|"))) == ()


def test_a_second_label_of_an_electrode_is_no_loss():
    assert lost_channels(("Fp1-A1", "EEG Fp1")) == ()


def test_numbers_of_a_net_and_of_a_grid_are_lost():
    assert lost_channels(("E1", "E2", "E3", "A3")) == ("E1", "E2", "E3", "A3")
