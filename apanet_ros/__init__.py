"""The ROS 2 node that derains stereo streams; everything it knows of deraining is in apanet_core."""
