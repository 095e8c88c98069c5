"""Single bit flips in the files of CARMA and its peers, and what each of them then says."""
